/*
 * change_sender.h
 *	  The sending end of the change stream: waits while the queue is full, and watches the backlog meanwhile.
 *
 * If too much WAL has come in while the receiver did not take what there is, the decoder ends and its slot with it; the
 * next one starts at the present. Change decoder only.
 */
#ifndef REALTIME_CHANGE_SENDER_H
#define REALTIME_CHANGE_SENDER_H

#include "lib/stringinfo.h"
#include "storage/shm_mq.h"

/* Send to this queue from here on. */
extern void change_sender_begin(shm_mq_handle *queue);

/*
 * Send a message; with flush the receiver is woken for it. Waits while the queue is full, processing interrupts. Ends the
 * process if it is no longer wanted, the receiver has gone, or the backlog is too large.
 */
extern void change_send(const StringInfoData *message, bool flush);

/* The same look around as while waiting: to be called now and then when nothing is sent. */
extern void change_sender_look(void);

/* Bytes of WAL that the slot may make the server keep. */
extern uint64 change_sender_bound(void);

#endif							/* REALTIME_CHANGE_SENDER_H */
