/*
 * published.h
 *	  The tables of realtime.publication as of now, as pg_publication_tables has them. Changes worker only.
 */
#ifndef REALTIME_CHANGES_PUBLISHED_H
#define REALTIME_CHANGES_PUBLISHED_H

typedef struct PublishedTable
{
	Oid			relation;
	char	   *schema;
	char	   *name;
} PublishedTable;

extern void published_init(void);

/*
 * All of them, in no particular order; *n is their number. Valid until the next call. Looked up again only if something has
 * changed. Inside a transaction with an active snapshot; may throw. Tables of the server and of realtime itself are left out.
 */
extern const PublishedTable *published_tables(int *n);

#endif							/* REALTIME_CHANGES_PUBLISHED_H */
