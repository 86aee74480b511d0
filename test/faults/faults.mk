# Rounds of faults against a server under load; `make faults` comes here once the extension is installed.
#
#   make faults                                     the checker's own tests, then 300 rounds
#   make faults FAULTS_ROUNDS=50 FAULTS_SEED=7      so many, and the same choices again
#   make faults FAULTS_SECONDS=600                  how long all rounds may take together
#   make faults FAULTS_ONLY=decoder                 only faults whose name holds this

FAULTS_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
FAULTS_ROUNDS ?= 300
FAULTS_SECONDS ?= 600

.PHONY: run-faults

run-faults:
	@node --test --test-reporter=dot $(FAULTS_DIR)check.test.mjs $(FAULTS_DIR)places.test.mjs
	@PG_CONFIG=$(PG_CONFIG) FAULTS_ROUNDS=$(FAULTS_ROUNDS) FAULTS_SECONDS=$(FAULTS_SECONDS) FAULTS_SEED=$(FAULTS_SEED) \
		FAULTS_ONLY="$(FAULTS_ONLY)" node $(FAULTS_DIR)run.mjs
