/*
 * role_limits.c
 *	  The setting realtime.role_limits, and limits as they hold for a role.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "shared/role_limits.h"
#include "shared/settings.h"

#define VALUE_SIZE		32		/* text of a number with its unit */

static const struct
{
	const char *name;
	int		   *common;
	int			least;
	int			unit;
}			limits_known[LIMITS] =
{
#define X(symbol, name, least, unit) {#name, &realtime_##name, least, unit},
	LIMIT_LIST(X)
#undef X
};

const RoleLimits *realtime_role_limits;

static const char *
skip_blanks(const char *at)
{
	while (*at == ' ' || (*at >= '\t' && *at <= '\r'))
		at++;
	return at;
}

/* The limit that is named at *at, which is moved behind it; LIMITS: none. */
static Limit
read_name(const char **at)
{
	const char *begin = *at;
	Slice		name;

	while ((**at >= 'a' && **at <= 'z') || **at == '_')
		(*at)++;
	name = slice_make(begin, *at - begin);
	for (int i = 0; i < LIMITS; i++)
		if (slice_equal(name, slice_cstring(limits_known[i].name)))
			return (Limit) i;
	return LIMITS;
}

/* A number with a unit; NULL, or what is wrong with it. */
static const char *
read_value(const char **at, Limit limit, int *value)
{
	char		text[VALUE_SIZE];
	Size		len = strcspn(*at, ",;");
	const char *hint;

	if (len >= sizeof(text))
		return "its value is too long";
	memcpy(text, *at, len);
	text[len] = '\0';
	*at += len;
	if (!parse_int(text, value, limits_known[limit].unit, &hint))
		return "its value is no number, or its unit is unknown";
	if (*value < limits_known[limit].least)
		return "its value is too small";
	return NULL;
}

/* "name = value" of a role. */
static const char *
read_limit(const char **at, int *values)
{
	const char *fault;
	Limit		limit;
	int			value;

	*at = skip_blanks(*at);
	limit = read_name(at);
	if (limit == LIMITS)
		return "it names no limit that a role may have";
	if (values[limit] != -1)
		return "it names a limit twice";
	*at = skip_blanks(*at);
	if (**at != '=')
		return "\"=\" must follow the name of a limit";
	(*at)++;
	fault = read_value(at, limit, &value);
	if (fault == NULL)
		values[limit] = value;
	return fault;
}

/* "role: limit, limit"; *at is moved behind it and its semicolon. */
static const char *
read_entry(const char **at, RoleLimits *limits)
{
	int			n = limits->count;
	const char *fault;

	if (n == ROLE_LIMITS_MAX)
		return "there are more than " CppAsString2(ROLE_LIMITS_MAX) " roles";
	for (int i = 0; i < LIMITS; i++)
		limits->roles[n].values[i] = -1;
	fault = api_key_read_role(at, limits->roles[n].role);
	if (fault != NULL)
		return fault;
	for (int i = 0; i < n; i++)
		if (strcmp(limits->roles[i].role, limits->roles[n].role) == 0)
			return "its role is there twice";
	*at = skip_blanks(*at);
	if (**at != ':')
		return "a colon must follow its role";
	do
	{
		(*at)++;
		fault = read_limit(at, limits->roles[n].values);
	} while (fault == NULL && **at == ',');
	if (**at == ';')
		(*at)++;
	limits->count++;
	return fault;
}

bool
role_limits_parse(const char *setting, RoleLimits *limits, char *fault, Size size)
{
	limits->count = 0;
	for (int n = 1; *(setting = skip_blanks(setting)) != '\0'; n++)
	{
		const char *wrong = read_entry(&setting, limits);

		if (wrong != NULL)
		{
			snprintf(fault, size, "Entry %d: %s.", n, wrong);
			return false;
		}
	}
	return true;
}

/* The entry of a role that has this limit; NULL: none. */
static const int *
own_limit(Slice role, Limit limit, int *owner)
{
	const RoleLimits *all = realtime_role_limits;

	for (int i = 0; all != NULL && i < all->count; i++)
		if (all->roles[i].values[limit] != -1 && slice_equal(role, slice_cstring(all->roles[i].role)))
		{
			*owner = i + 1;
			return &all->roles[i].values[limit];
		}
	*owner = 0;
	return NULL;
}

int
limit_of(Slice role, Limit limit)
{
	int			owner;
	const int  *own = own_limit(role, limit, &owner);

	return own != NULL ? *own : *limits_known[limit].common;
}

int
limit_least(Limit limit)
{
	int			least = *limits_known[limit].common;

	for (int i = 0; realtime_role_limits != NULL && i < realtime_role_limits->count; i++)
		if (realtime_role_limits->roles[i].values[limit] != -1)
			least = Min(least, realtime_role_limits->roles[i].values[limit]);
	return least;
}

int
limit_owner(Slice role, Limit limit)
{
	int			owner;

	(void) own_limit(role, limit, &owner);
	return owner;
}

bool
limit_differs(Limit limit)
{
	for (int i = 0; realtime_role_limits != NULL && i < realtime_role_limits->count; i++)
		if (realtime_role_limits->roles[i].values[limit] != -1)
			return true;
	return false;
}
