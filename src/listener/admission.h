/*
 * admission.h
 *	  How fast connections are let in when very many come at once.
 *
 * Clients that have lost their connections come back in the same second. Who can't be let in yet waits in the kernel's
 * queue of the listening socket, in the order of coming: its connection is up, and it notices a delay and nothing else.
 * That queue is bounded, and clients beyond it try again by themselves (TCP). Two things make them wait: connections in
 * a second (realtime.max_connects_per_second), and those that have not joined yet (realtime.max_unjoined). Each listener
 * has an equal share of both, as it has of the connections.
 *
 * Called in the listener, never throws. Times are those of connection_clock().
 */
#ifndef REALTIME_LISTENER_ADMISSION_H
#define REALTIME_LISTENER_ADMISSION_H

/* While connections wait it is asked again so often, in ms. */
#define ADMISSION_PAUSE		10

/* May a connection be accepted? False: ask again in ADMISSION_PAUSE. */
extern bool admission_open(void);

/* A connection was accepted, whatever comes of it. */
extern void admission_took(void);

/*
 * This listener's share of max_unjoined is used up. While admission_open is true nevertheless, nobody has joined or left
 * for a second: those who come are refused.
 */
extern bool admission_full(void);

/* That share. */
extern uint32 admission_unjoined_share(void);

#endif							/* REALTIME_LISTENER_ADMISSION_H */
