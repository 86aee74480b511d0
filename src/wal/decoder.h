/*
 * decoder.h
 *	  The message decoder: puts the committed rows of realtime.messages on the bus.
 */
#ifndef REALTIME_DECODER_H
#define REALTIME_DECODER_H

/* Entry point of the worker, called by the postmaster's child only. */
extern PGDLLEXPORT void realtime_message_decoder_main(Datum argument);

#endif							/* REALTIME_DECODER_H */
