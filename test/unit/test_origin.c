/*
 * test_origin.c
 *		The header Origin and the list of those that are allowed.
 */
#include "unit.h"

#include "wire/origin.h"

static bool
allowed(const char *list, const char *origin)
{
	Slice		list_copy = copy_exactly(slice_cstring(list));
	Slice		origin_copy = copy_exactly(slice_cstring(origin));
	bool		result = origin_allowed(list_copy, origin_copy);

	copy_free(list_copy);
	copy_free(origin_copy);
	return result;
}

static void
test_allowed(void **state)
{
	static const struct
	{
		const char *list;
		const char *origin;
		bool		allowed;
	}			cases[] = {
		{"*", "https://example.com", true}, {"*", "null", true}, {"*", "", true}, {"*", "no origin", true},
		{"https://a.com, *", "http://b.org", true},
		{"", "https://example.com", false}, {" ", "https://example.com", false}, {"", "", false},
		{"https://example.com", "https://example.com", true},
		{"https://example.com", "HTTPS://Example.COM", true},
		{"HTTPS://EXAMPLE.com", "https://example.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com:8443", "https://example.com:8443", true},
		{"https://example.com:8443", "https://example.com:08443", false},
		{"https://example.com:443", "https://example.com", true},
		{"https://example.com", "https://example.com:443", true},
		{"http://example.com", "http://example.com:80", true},
		{"http://example.com", "http://example.com:443", false},
		{"https://example.com", "https://example.com:80", false},
		{"app://x", "app://x:443", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://example.com", "https://example.com.evil.org", false},
		{"https://example.com", "https://evil-example.com", false},
		{"https://example.com", "https://example.co", false},
		{"https://example.com", "https://example.com/", false},
		{"https://example.com", "https://example.com@evil.org", false},
		{"https://example.com", "https://user@example.com", false},
		{"https://example.com", "https://example.com, https://evil.org", false},
		{"https://example.com", "https://example.com https://evil.org", false},
		{"https://example.com", "", false}, {"https://example.com", "null", false},
		{"https://example.com", "*", false}, {"https://example.com", "https://", false},
		{"null", "null", true}, {"null", "NULL", false}, {"null", "https://null", false},
		{"https://a.com,https://b.com", "https://b.com", true},
		{" https://a.com ,\t https://b.com ", "https://a.com", true},
		{"https://a.com,https://b.com", "https://c.com", false},
		{"https://a.com,,https://b.com", "", false},
		{"http://localhost:3000", "http://localhost:3000", true},
		{"http://localhost:3000", "http://localhost:3001", false},
		{"http://127.0.0.1:3000", "http://127.0.0.1:3000", true},
		{"http://[::1]:3000", "http://[::1]:3000", true}, {"http://[::1]", "http://[::1]", true},
		{"http://[::1]", "http://[::1]:80", true}, {"http://[::1]", "http://[::2]", false},
		{"capacitor://localhost", "capacitor://localhost", true},
		{"chrome-extension://abcdef", "chrome-extension://abcdef", true},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (allowed(cases[i].list, cases[i].origin) != cases[i].allowed)
			fail_msg("list \"%s\", origin \"%s\"", cases[i].list, cases[i].origin);
	assert_false(origin_allowed(SLICE_EMPTY, SLICE_EMPTY));
	assert_false(origin_allowed(SLICE_LITERAL("https://a.com"), SLICE_LITERAL("https://a.com\0")));
}

static void
test_list(void **state)
{
	static const struct
	{
		const char *list;
		const char *wrong;		/* NULL: the list is valid */
	}			cases[] = {
		{"", NULL}, {"  ", NULL}, {"*", NULL}, {"null", NULL}, {"https://a.com", NULL},
		{"https://a.com, http://b.org:8080, *", NULL}, {"http://[2001:db8::1]:3000", NULL},
		{"http://under_score.example", NULL},
		{"example.com", "example.com"}, {"https://a.com, b.com", "b.com"}, {"https://", "https://"},
		{"https://a.com/", "https://a.com/"}, {"https://a.com/path", "https://a.com/path"},
		{"https://*.a.com", "https://*.a.com"}, {"https:a.com", "https:a.com"}, {"://a.com", "://a.com"},
		{"1http://a.com", "1http://a.com"}, {"https://a.com:", "https://a.com:"},
		{"https://a.com:123456", "https://a.com:123456"}, {"https://:443", "https://:443"},
		{"https://a.com:x", "https://a.com:x"}, {"http://[::1", "http://[::1"}, {"http://[]", "http://[]"},
		{"https://a.com,", ""}, {",https://a.com", ""}, {"https://a b.com", "https://a b.com"},
		{"https://a.com https://b.com", "https://a.com https://b.com"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].list));
		Slice		wrong;
		bool		valid = origin_list_valid(copy, &wrong);

		if (valid != (cases[i].wrong == NULL) || (!valid && !slice_equal(wrong, slice_cstring(cases[i].wrong))))
			fail_msg("\"%s\": \"%.*s\"", cases[i].list, (int) wrong.len, wrong.data);
		copy_free(copy);
	}
}

static void
test_allows_all(void **state)
{
	(void) state;
	assert_true(origin_list_allows_all(SLICE_LITERAL("*")));
	assert_true(origin_list_allows_all(SLICE_LITERAL("https://a.com , *")));
	assert_false(origin_list_allows_all(SLICE_LITERAL("https://a.com")));
	assert_false(origin_list_allows_all(SLICE_EMPTY));
}

typedef struct Cors
{
	const char *list;
	const char *origin;
} Cors;

static void
encode_cors(Writer *w, const void *argument)
{
	const Cors *cors = argument;

	origin_write_cors(w, slice_cstring(cors->list), slice_cstring(cors->origin));
}

static void
test_cors(void **state)
{
	char		host[ORIGIN_MAX + 8] = "https://";
	Writer		w = writer_measuring();

	(void) state;
	check_encoder(encode_cors, &(Cors) {"*", "https://a.com"}, SLICE_LITERAL("access-control-allow-origin: *\r\n"));
	check_encoder(encode_cors, &(Cors) {"*", ""}, SLICE_LITERAL("access-control-allow-origin: *\r\n"));
	check_encoder(encode_cors, &(Cors) {"https://a.com", "https://A.com"},
				  SLICE_LITERAL("access-control-allow-origin: https://A.com\r\nvary: origin\r\n"));
	check_encoder(encode_cors, &(Cors) {"https://a.com", "https://b.com"}, SLICE_LITERAL("vary: origin\r\n"));
	check_encoder(encode_cors, &(Cors) {"https://a.com", ""}, SLICE_LITERAL("vary: origin\r\n"));
	check_encoder(encode_cors, &(Cors) {"null", "null"},
				  SLICE_LITERAL("access-control-allow-origin: null\r\nvary: origin\r\n"));

	memset(host + 8, 'a', ORIGIN_MAX - 8);
	encode_cors(&w, &(Cors) {host, host});
	assert_true(w.len > ORIGIN_MAX && w.len <= ORIGIN_CORS_BOUND);
	host[ORIGIN_MAX] = 'a';
	assert_false(allowed(host, host));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_allows_all),
		cmocka_unit_test(test_cors),
	};

	return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
