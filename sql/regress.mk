# The regression tests, in order; test/tools/regress.sh runs them. Those that begin with bare_ run on a server without
# shared_preload_libraries.
REGRESS = setup functions broadcast_changes token privileges timezone files partitions dump plugin health drop bare_not_loaded
