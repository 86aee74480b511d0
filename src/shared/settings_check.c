/*
 * settings_check.c
 *	  The hooks of settings: what their values must be, what is kept of them, and what is shown.
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "shared/api_keys.h"
#include "shared/compat.h"
#include "shared/role_limits.h"
#include "shared/settings.h"
#include "shared/settings_check.h"
#include "wire/jwt.h"
#include "wire/origin.h"

/* What SHOW and pg_settings give instead of a secret. */
#define SECRET_MASK		"<hidden>"

/* What is wrong with a secret, as a sentence that holds nothing of it; false: nothing. */
typedef bool (*SecretFault) (const char *secret, char *text, Size size);

/*
 * A check hook's work for a setting that nobody may see. The value itself is kept in *extra, and what the server sees as
 * the value is a mask, the same for every value, also for none: when the one that it sees has changed on SIGHUP, the
 * postmaster logs the new one as it stands in the file. Errors would quote the value too. A parallel worker is handed the
 * mask; it keeps what it has inherited, which is in use.
 */
static bool
hide_secret(const char *name, const char *in_use, SecretFault fault, char **newval, void **extra)
{
	const char *secret = strcmp(*newval, SECRET_MASK) == 0 ? in_use : *newval;
	size_t		length = strlen(secret);
	char		text[160];
	char	   *kept;
	char	   *shown;

	if (fault(secret, text, sizeof(text)))
	{
		GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
		GUC_check_errmsg("invalid value for parameter \"%s\"", name);
		GUC_check_errdetail("%s", text);
		return false;
	}

	kept = setting_malloc(length + 1);
	shown = setting_strdup(SECRET_MASK);
	if (kept == NULL || shown == NULL)
	{
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
		return false;
	}
	memcpy(kept, secret, length + 1);
	explicit_bzero(*newval, strlen(*newval));
	setting_free(*newval);
	*newval = shown;
	*extra = kept;
	return true;
}

static bool
jwt_secret_fault(const char *secret, char *text, Size size)
{
	size_t		length = strlen(secret);

	snprintf(text, size, "The secret has %zu bytes, at least %d are needed.", length, REALTIME_MIN_SECRET);
	return length > 0 && length < REALTIME_MIN_SECRET;
}

bool
settings_check_jwt_secret(char **newval, void **extra, GucSource source)
{
	return hide_secret("realtime.jwt_secret", realtime_jwt_secret, jwt_secret_fault, newval, extra);
}

void
settings_assign_jwt_secret(const char *newval, void *extra)
{
	realtime_jwt_secret = extra != NULL ? extra : "";
}

const char *
settings_show_jwt_secret(void)
{
	return realtime_jwt_secret[0] != '\0' ? SECRET_MASK : "";
}

bool
settings_check_api_keys(char **newval, void **extra, GucSource source)
{
	return hide_secret("realtime.api_keys", realtime_api_keys, api_keys_fault, newval, extra);
}

void
settings_assign_api_keys(const char *newval, void *extra)
{
	realtime_api_keys = extra != NULL ? extra : "";
}

const char *
settings_show_api_keys(void)
{
	return realtime_api_keys[0] != '\0' ? SECRET_MASK : "";
}

bool
settings_check_claim_validators(char **newval, void **extra, GucSource source)
{
	if (jwt_claim_validators_valid(slice_cstring(*newval)))
		return true;
	GUC_check_errdetail("It must be a JSON object such as {\"iss\": \"https://example.org\"}, or empty.");
	return false;
}

bool
settings_check_allowed_origins(char **newval, void **extra, GucSource source)
{
	Slice		wrong;

	if (origin_list_valid(slice_cstring(*newval), &wrong))
		return true;
	GUC_check_errdetail("\"%.*s\" is no origin: scheme://host or scheme://host:port, without a path.",
						(int) Min(wrong.len, 200), wrong.data);
	return false;
}

bool
settings_check_role_limits(char **newval, void **extra, GucSource source)
{
	RoleLimits *limits;
	char		fault[128];

	if (**newval == '\0')
		return true;
	limits = setting_malloc(sizeof(RoleLimits));
	if (limits == NULL)
		return false;
	if (role_limits_parse(*newval, limits, fault, sizeof(fault)))
	{
		*extra = limits;
		return true;
	}
	setting_free(limits);
	GUC_check_errdetail("%s", fault);
	GUC_check_errhint("As in: service_role: max_messages_per_second=10000, max_channels_per_client=1000; authenticated: presence_rate=20");
	return false;
}

void
settings_assign_role_limits(const char *newval, void *extra)
{
	realtime_role_limits = extra;
}

/* Accept what the input function of timestamp accepts, apart from infinity. */
bool
settings_check_partition_clock(char **newval, void **extra, GucSource source)
{
	char		buffer[MAXDATELEN + 1];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	int			tz;
	fsec_t		fsec;
	struct pg_tm tm;

	if (**newval == '\0')
		return true;
	if (strlen(*newval) < sizeof(buffer) &&
		ParseDateTime(*newval, buffer, sizeof(buffer), field, ftype, MAXDATEFIELDS, &nf) == 0 &&
		decode_datetime(field, ftype, nf, &dtype, &tm, &fsec, &tz) == 0 && dtype == DTK_DATE)
		return true;
	GUC_check_errdetail("It must be a timestamp such as '2030-01-31 12:00', or empty.");
	return false;
}
