/*
 * waiting.c
 *	  Whose the transaction is that a decoder waits for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "launcher/waiting.h"

static const char query[] =
"select coalesce('pid ' || h.pid, 'prepared ' || pg_catalog.quote_literal(p.gid), 'unknown')"
" from (select '%u'::pg_catalog.xid as xid) w"
" left join pg_catalog.pg_prepared_xacts p on p.transaction = w.xid"
" left join pg_catalog.pg_locks h on h.locktype = 'transactionid' and h.transactionid = w.xid and h.granted"
" limit 1";

static bool
look(TransactionId xid, char *text, Size size)
{
	char		statement[sizeof(query) + 16];
	bool		found;

	snprintf(statement, sizeof(statement), query, xid);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(statement, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_locks");
	found = SPI_processed == 1;
	if (found)
		snprintf(text, size, "waiting for transaction %u (%s)", xid,
				 SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_finish();
	return found;
}

bool
waiting_describe(TransactionId xid, char *text, Size size)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool found = false;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		found = look(xid, text, size);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		found = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return found;
}
