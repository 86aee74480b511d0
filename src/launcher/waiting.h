/*
 * waiting.h
 *	  Whose the transaction is that a decoder waits for.
 */
#ifndef REALTIME_WAITING_H
#define REALTIME_WAITING_H

/*
 * Says in text that this transaction is waited for and whose it is, such as "waiting for transaction 740 (pid 4711)"
 * or "waiting for transaction 740 (prepared 'gid')"; false if that can't be found out. Launcher, connected, outside of a
 * transaction; errors are logged and swallowed.
 */
extern bool waiting_describe(TransactionId xid, char *text, Size size);

#endif							/* REALTIME_WAITING_H */
