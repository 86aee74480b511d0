/*
 * compat.h
 *	  Differences between the supported versions of PostgreSQL, in one place.
 */
#ifndef REALTIME_COMPAT_H
#define REALTIME_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "realtime needs PostgreSQL 15 or newer"
#endif

/* PostgreSQL 17 replaced pgprocno by the MyProcNumber variable. */
#if PG_VERSION_NUM >= 170000
#define MY_PROC_NUMBER	((int) MyProcNumber)
#else
#define MY_PROC_NUMBER	((int) MyProc->pgprocno)
#endif

/* PostgreSQL 17 hangs a wait event set on a resource owner, not on a memory context. */
#if PG_VERSION_NUM >= 170000
#define create_wait_event_set(context, n)	CreateWaitEventSet(NULL, (n))
#else
#define create_wait_event_set(context, n)	CreateWaitEventSet((context), (n))
#endif

/* PostgreSQL 16 renamed relfilenodes; the message decoder only compares the three numbers. */
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
typedef RelFileLocator RelationFile;
#define RELATION_FILE(rel)			((rel)->rd_locator)
#define RELATION_FILE_SPC(file)		((file).spcOid)
#define RELATION_FILE_DB(file)		((file).dbOid)
#define RELATION_FILE_NUMBER(file)	((file).relNumber)
#else
#include "storage/relfilenode.h"
typedef RelFileNode RelationFile;
#define RELATION_FILE(rel)			((rel)->rd_node)
#define RELATION_FILE_SPC(file)		((file).spcNode)
#define RELATION_FILE_DB(file)		((file).dbNode)
#define RELATION_FILE_NUMBER(file)	((file).relNode)
#endif

/* PostgreSQL 16 added an argument to DecodeDateTime. */
#if PG_VERSION_NUM >= 160000
#define decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz), &(DateTimeErrorExtra) {0})
#else
#define decode_datetime(field, ftype, nf, dtype, tm, fsec, tz) \
	DecodeDateTime((field), (ftype), (nf), (dtype), (tm), (fsec), (tz))
#endif

#endif							/* REALTIME_COMPAT_H */
