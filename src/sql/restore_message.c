/*
 * restore_message.c
 *	  The trigger of realtime.dumped_messages: puts a message that comes out of a dump back into realtime.messages.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "replication/origin.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "shared/shmem.h"

PG_FUNCTION_INFO_V1(realtime_restore_message);

#define COLUMNS		10

static const char insert[] =
"insert into realtime.messages (topic, extension, payload, event, private, updated_at, inserted_at, id, binary_payload,"
" \"position\") overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing";

/* Prepared once per session. */
static SPIPlanPtr
insert_plan(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[COLUMNS] = {TEXTOID, TEXTOID, JSONBOID, TEXTOID, BOOLOID, TIMESTAMPOID, TIMESTAMPOID, UUIDOID,
	BYTEAOID, INT8OID};

	if (plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(insert, COLUMNS, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare: %s", insert);
		plan = prepared;
	}
	return plan;
}

/* As the origin says that the output plugin refuses, so that it is not delivered again; and without triggers of users. */
static void
insert_silently(Datum *values, const char *nulls)
{
	RepOriginId origin = replorigin_session_origin;
	int			level = NewGUCNestLevel();

	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	PG_TRY();
	{
		replorigin_session_origin = DoNotReplicateId;
		if (SPI_execute_plan(insert_plan(), values, nulls, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not run: %s", insert);
	}
	PG_FINALLY();
	{
		replorigin_session_origin = origin;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, level);
}

/* realtime.restore_message() */
Datum
realtime_restore_message(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Datum		values[COLUMNS];
	bool		isnull[COLUMNS];
	char		nulls[COLUMNS];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		RelationGetDescr(trigger->tg_relation)->natts != COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("realtime.restore_message() is the trigger of realtime.dumped_messages only")));
	shmem_require();
	heap_deform_tuple(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), values, isnull);
	for (int i = 0; i < COLUMNS; i++)
		nulls[i] = isnull[i] ? 'n' : ' ';
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	insert_silently(values, nulls);
	SPI_finish();
	return PointerGetDatum(NULL);
}
