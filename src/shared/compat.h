/*
 * compat.h
 *	  Differences between the supported versions of PostgreSQL, in one place.
 */
#ifndef REALTIME_COMPAT_H
#define REALTIME_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "realtime needs PostgreSQL 15 or newer"
#endif

/* PostgreSQL 16 moved what looks into a varlena out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PostgreSQL 17 replaced pgprocno by the MyProcNumber variable. */
#if PG_VERSION_NUM >= 170000
#define MY_PROC_NUMBER	((int) MyProcNumber)
#else
#define MY_PROC_NUMBER	((int) MyProc->pgprocno)
#endif

/* PostgreSQL 17 gathered the parts of the virtual transaction id. Needs storage/proc.h. */
#if PG_VERSION_NUM >= 170000
#define MY_LOCAL_TRANSACTION	(MyProc->vxid.lxid)
#else
#define MY_LOCAL_TRANSACTION	(MyProc->lxid)
#endif

/* PostgreSQL 17 hangs a wait event set on a resource owner, not on a memory context. */
#if PG_VERSION_NUM >= 170000
#define create_wait_event_set(context, n)	((void) (context), CreateWaitEventSet(NULL, (n)))
#else
#define create_wait_event_set(context, n)	CreateWaitEventSet((context), (n))
#endif

/* PostgreSQL 16 renamed relfilenodes; the decoders only compare the three numbers. */
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#include "utils/relfilenumbermap.h"
typedef RelFileLocator RelationFile;
#define RELATION_FILE(rel)			((rel)->rd_locator)
#define RELATION_FILES_EQUAL(a, b)	RelFileLocatorEquals(a, b)
#define SMGR_CREATE_FILE			rlocator
#define relation_of_file(space, number)	RelidByRelfilenumber((space), (number))
#define RELATION_FILE_SPC(file)		((file).spcOid)
#define RELATION_FILE_DB(file)		((file).dbOid)
#define RELATION_FILE_NUMBER(file)	((file).relNumber)
#else
#include "storage/relfilenode.h"
#include "utils/relfilenodemap.h"
typedef RelFileNode RelationFile;
#define RELATION_FILE(rel)			((rel)->rd_node)
#define RELATION_FILES_EQUAL(a, b)	RelFileNodeEquals(a, b)
#define SMGR_CREATE_FILE			rnode
#define relation_of_file(space, number)	RelidByRelfilenode((space), (number))
#define RELATION_FILE_SPC(file)		((file).spcNode)
#define RELATION_FILE_DB(file)		((file).dbNode)
#define RELATION_FILE_NUMBER(file)	((file).relNode)
#endif

/* PostgreSQL 16 keeps the values of settings in a memory context of its own. Nothing throws: NULL if there is no memory. */
#if PG_VERSION_NUM >= 160000
#define setting_malloc(size)	guc_malloc(LOG, (size))
#define setting_strdup(text)	guc_strdup(LOG, (text))
#define setting_free(pointer)	guc_free(pointer)
#else
#define setting_malloc(size)	malloc(size)
#define setting_strdup(text)	strdup(text)
#define setting_free(pointer)	free(pointer)
#endif

/* PostgreSQL 16 added an argument to DecodeDateTime. */
#if PG_VERSION_NUM >= 160000
#define decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz), &(DateTimeErrorExtra) {0})
#else
#define decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz))
#endif

/* PostgreSQL 16 took the permissions out of range table entries, and has one function for the privileges on any object. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_namespace_d.h"
#define require_permission(query, entry, permission) \
	(addRTEPermissionInfo(&(query)->rteperminfos, (entry))->requiredPerms = (permission))
#define schema_aclcheck(schema, role, mode) object_aclcheck(NamespaceRelationId, (schema), (role), (mode))
#define function_aclcheck(function, role, mode) object_aclcheck(ProcedureRelationId, (function), (role), (mode))
#else
#define require_permission(query, entry, permission) ((entry)->requiredPerms = (permission))
#define schema_aclcheck(schema, role, mode) pg_namespace_aclcheck((schema), (role), (mode))
#define function_aclcheck(function, role, mode) pg_proc_aclcheck((function), (role), (mode))
#endif

/* PostgreSQL 18 dropped the last argument of ExecutorRun. */
#if PG_VERSION_NUM >= 180000
#define executor_run(query, rows)	ExecutorRun((query), ForwardScanDirection, (rows))
#else
#define executor_run(query, rows)	ExecutorRun((query), ForwardScanDirection, (rows), true)
#endif

/* PostgreSQL 17 put the tuple itself into a decoded change. */
#if PG_VERSION_NUM >= 170000
#define CHANGE_TUPLE(changed)	(changed)
#else
#define CHANGE_TUPLE(changed)	(&(changed)->tuple)
#endif

/* PostgreSQL 17 added arguments to ReplicationSlotCreate, 18 one to ReplicationSlotAcquire. */
#if PG_VERSION_NUM >= 170000
#define create_temporary_slot(name)	ReplicationSlotCreate((name), true, RS_TEMPORARY, false, false, false)
#else
#define create_temporary_slot(name)	ReplicationSlotCreate((name), true, RS_TEMPORARY, false)
#endif
#if PG_VERSION_NUM >= 180000
#define acquire_slot(name)	ReplicationSlotAcquire((name), true, true)
#else
#define acquire_slot(name)	ReplicationSlotAcquire((name), true)
#endif

/* PostgreSQL 16 dropped an argument that was not used. */
#if PG_VERSION_NUM >= 160000
#define present_snapshot(builder, xid)	SnapBuildGetOrBuildSnapshot(builder)
#else
#define present_snapshot(builder, xid)	SnapBuildGetOrBuildSnapshot((builder), (xid))
#endif

/* PostgreSQL 18 added an argument that has failures logged. */
#if PG_VERSION_NUM >= 180000
#define transaction_has_ended(xid)	ConditionalXactLockTableWait((xid), false)
#else
#define transaction_has_ended(xid)	ConditionalXactLockTableWait(xid)
#endif

/* PostgreSQL 18 has generated columns that are not stored. */
#if PG_VERSION_NUM >= 180000
#define is_virtual_column(attribute)	((attribute)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define is_virtual_column(attribute)	false
#endif

/* PostgreSQL 18 holds the number of the WAL writer's process, not its latch. */
#if PG_VERSION_NUM >= 180000
#define wake_wal_writer() \
	do { \
		ProcNumber	walwriter = ProcGlobal->walwriterProc; \
		if (walwriter != INVALID_PROC_NUMBER) \
			SetLatch(&GetPGProcByNumber(walwriter)->procLatch); \
	} while (0)
#else
#define wake_wal_writer() \
	do { \
		if (ProcGlobal->walwriterLatch) \
			SetLatch(ProcGlobal->walwriterLatch); \
	} while (0)
#endif

/* PostgreSQL 17 says in another way that a file is no temporary one. Needs storage/smgr.h. */
#if PG_VERSION_NUM >= 170000
#define open_relation_file(file)	smgropen((file), INVALID_PROC_NUMBER)
#else
#define open_relation_file(file)	smgropen((file), InvalidBackendId)
#endif

#endif							/* REALTIME_COMPAT_H */
