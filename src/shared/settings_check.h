/*
 * settings_check.h
 *	  The hooks of settings, for settings.c: what their values must be, what is kept of them, and what is shown.
 *
 * Called by the server, in every process, as its hooks are; what is checked need not come to be used.
 */
#ifndef REALTIME_SETTINGS_CHECK_H
#define REALTIME_SETTINGS_CHECK_H

#include "utils/guc.h"

/* Secrets: what the server has as their value is a mask, and what is in use is in realtime_jwt_secret and realtime_api_keys. */
extern bool settings_check_jwt_secret(char **newval, void **extra, GucSource source);
extern void settings_assign_jwt_secret(const char *newval, void *extra);
extern const char *settings_show_jwt_secret(void);
extern bool settings_check_api_keys(char **newval, void **extra, GucSource source);
extern void settings_assign_api_keys(const char *newval, void *extra);
extern const char *settings_show_api_keys(void);

extern bool settings_check_claim_validators(char **newval, void **extra, GucSource source);
extern bool settings_check_partition_clock(char **newval, void **extra, GucSource source);
extern bool settings_check_allowed_origins(char **newval, void **extra, GucSource source);
extern bool settings_check_role_limits(char **newval, void **extra, GucSource source);
extern void settings_assign_role_limits(const char *newval, void *extra);

#endif							/* REALTIME_SETTINGS_CHECK_H */
