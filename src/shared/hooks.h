/*
 * hooks.h
 *	  Object access hook: DROP DATABASE sends our workers away, CREATE and DROP EXTENSION wake the launcher at commit.
 */
#ifndef REALTIME_HOOKS_H
#define REALTIME_HOOKS_H

/* _PG_init, once, in the postmaster. */
extern void hooks_install(void);

#endif							/* REALTIME_HOOKS_H */
