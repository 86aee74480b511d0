/*
 * change_decoder.h
 *	  The change decoder: sends the committed changes of published tables to the changes worker.
 */
#ifndef REALTIME_CHANGE_DECODER_H
#define REALTIME_CHANGE_DECODER_H

/* Entry point of the worker, called by the postmaster's child only. */
extern PGDLLEXPORT void realtime_change_decoder_main(Datum argument);

#endif							/* REALTIME_CHANGE_DECODER_H */
