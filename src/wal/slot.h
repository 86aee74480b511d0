/*
 * slot.h
 *	  Replication slots of the decoder and the launcher: all temporary, created or copied, looked at by name.
 */
#ifndef REALTIME_SLOT_H
#define REALTIME_SLOT_H

#include "access/xlogdefs.h"

#define OUTPUT_PLUGIN_NAME	"realtime"

/* What makes a slot a place to start from, read in one go. */
typedef struct SlotPoint
{
	int			owner;			/* pid */
	XLogRecPtr	restart;
	XLogRecPtr	confirmed;		/* Invalid: it has no starting point yet */
	TransactionId catalog_xmin;
	TransactionId effective_catalog_xmin;
} SlotPoint;

/*
 * Allow our output plugin in this session where the server wants that (15.19 and newer). Decoder and launcher,
 * outside of a transaction; throws if it can't be.
 */
extern void slot_allow_plugin(void);

/* How many more slots the server can take. */
extern int	slot_count_free(void);

/* Look at a slot by name; false if there is none. Any process. */
extern bool slot_look(const char *name, SlotPoint *point);

/*
 * Move the restart point of somebody's slot forward to this position, never back; false if there is no such
 * slot or it is there already. The server's own limits are computed anew. Decoder (its own) and launcher.
 */
extern bool slot_move_restart(const char *name, XLogRecPtr restart);

/*
 * Make a temporary slot stand where another one stands, unless it is further already. Launcher and decoder, for the
 * anchor.
 */
extern void slot_stand_at(const char *name, const SlotPoint *point);

/*
 * Copy a slot to a new temporary one, which belongs to this process but is not acquired. Runs in a transaction of its
 * own and so does not hide this process from vacuum. false, with nothing left behind, if it could not be; that is
 * logged. Takes a fraction of a second, whoever has written and is still open.
 */
extern bool slot_copy(const char *from, const char *to);

/* Drop a temporary slot of this process, acquired or not, if it is there. */
extern void slot_drop(const char *name);

#endif							/* REALTIME_SLOT_H */
