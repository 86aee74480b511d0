/*
 * wait.h
 *	  What a change may have to wait for before it is judged, for as long as realtime.policy_timeout: others must not wait for whoever is
 *	  in the way. Meanwhile the transaction of work.h is ended, so that nothing stays locked. Changes worker only.
 */
#ifndef REALTIME_CHANGES_WAIT_H
#define REALTIME_CHANGES_WAIT_H

#include "shared/change_record.h"

/*
 * The transaction that the change comes from: from here on its rows can be seen, and what it has changed in the catalogs counts. False: it
 * was waited for in vain.
 */
extern bool wait_for_end(const ChangeRecord *record);

/*
 * The table, which is locked from here on against being changed. False: it was waited for in vain. *in_vain is kept for it: it is waited
 * for once until it has been free again.
 */
extern bool wait_for_table(Oid table, bool *in_vain);

#endif							/* REALTIME_CHANGES_WAIT_H */
