/*
 * keys.c
 *	  What tokens are verified with.
 *
 * A file that was written a moment ago may still be being written, and may change once more without its times telling:
 * it is read again until it has been left alone for a while, and only trouble that is still there then is told.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "listener/channel.h"
#include "listener/keys.h"
#include "listener/state.h"
#include "shared/settings.h"

#define LOOK_PAUSE		1000	/* ms between two looks at the file */
#define SETTLE_TIME		2		/* seconds after which a file counts as written */

#define FAULT_SIZE		256

#define HINT_FILE		"Correct realtime.jwks_file, or let the server's user read that file."
#define HINT_CONTENT	"The file must hold a JSON Web Key Set: {\"keys\": [...]}."

/* What tells one state of the file from another. */
typedef struct FileState
{
	int			error;			/* errno of stat, 0: it is there */
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} FileState;

/* Copies of the settings that the clients' tokens were verified with; NULL before the first. */
typedef struct Known
{
	char	   *secret;
	char	   *api_keys;
	char	   *claim_validators;
	char	   *jwks_file;
} Known;

static Known known;

static Jwks *jwks;				/* NULL: none */
static unsigned char digest[SHA256_DIGEST_LENGTH];	/* of the document that it was read from */

static FileState seen;
static bool settled;			/* no need to read it again while it looks like this */
static uint64 next_look;		/* loop clock, ms */

static char fault[FAULT_SIZE];	/* why the last attempt failed; empty: it did not */
static const char *fault_hint;
static char logged[FAULT_SIZE];

/* What keys_turn() still has to do. */
static bool tokens_due;			/* verify the clients' tokens again */
static bool success_due;		/* tell of the keys that were read */
static bool fault_due;			/* tell of the fault */
static bool asked_for;			/* that was after SIGHUP or at the start, in all listeners at once */

static bool
uses_file(void)
{
	return realtime_jwks_file[0] != '\0';
}

/* How the file looks. The working directory is the data directory. */
static FileState
look_at_file(void)
{
	FileState	now;
	struct stat st;

	memset(&now, 0, sizeof(now));
	if (stat(realtime_jwks_file, &st) != 0)
		now.error = errno;
	else
	{
		now.device = st.st_dev;
		now.inode = st.st_ino;
		now.size = st.st_size;
		now.modified = st.st_mtim;
		now.changed = st.st_ctim;
	}
	return now;
}

/* Was it written so long ago that another write would change its times? */
static bool
has_settled(const FileState *file)
{
	struct timespec now;
	int64		age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = (int64) now.tv_sec - Max(file->modified.tv_sec, file->changed.tv_sec);
	return age >= SETTLE_TIME || age < 0;
}

static bool
failed(const char *hint, const char *text)
{
	snprintf(fault, sizeof(fault), "%s", text);
	fault_hint = hint;
	return false;
}

/* Read all of an open file into malloc'ed memory; false: fault says why not. The document is for forget(). */
static bool
read_document(int fd, Slice *document)
{
	struct stat st;
	char	   *bytes;
	size_t		len = 0;
	ssize_t		n = 0;

	if (fstat(fd, &st) != 0)
		return failed(HINT_FILE, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failed(HINT_FILE, "it is no regular file");
	if (st.st_size > JWKS_MAX_DOCUMENT)
		return failed(HINT_CONTENT, "it is longer than 1 MB");
	bytes = malloc(st.st_size + 1);
	if (bytes == NULL)
		return failed(HINT_FILE, "out of memory");
	while (len <= (size_t) st.st_size && ((n = read(fd, bytes + len, st.st_size + 1 - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? n : 0;
	*document = slice_make(bytes, len);
	if (n < 0)
		return failed(HINT_FILE, strerror(errno));
	if (len > (size_t) st.st_size)
		return failed(HINT_FILE, "it grows while it is read");
	return true;
}

static void
forget(Slice document)
{
	if (document.data != NULL)
		explicit_bzero((char *) document.data, document.len);
	free((char *) document.data);
}

/* Another set of keys, or none. */
static void
take_keys(Jwks *keys)
{
	jwks_free(jwks);
	jwks = keys;
	tokens_due = true;
}

/* Parse a document and take its keys, unless it is the one that they are from. */
static bool
take_document(Slice document)
{
	unsigned char new_digest[SHA256_DIGEST_LENGTH];
	char		error[JWKS_ERROR_SIZE];
	Jwks	   *keys;

	SHA256((const unsigned char *) document.data, document.len, new_digest);
	if (jwks != NULL && memcmp(digest, new_digest, sizeof(digest)) == 0)
		return true;
	keys = jwks_parse(document, error, sizeof(error));
	if (keys == NULL)
		return failed(HINT_CONTENT, error);
	memcpy(digest, new_digest, sizeof(digest));
	take_keys(keys);
	success_due = true;
	return true;
}

static bool
read_file(void)
{
	/* not to wait for a writer, should somebody put a pipe there */
	int			fd = open(realtime_jwks_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	Slice		document = SLICE_EMPTY;
	bool		good;

	if (fd < 0)
		return failed(HINT_FILE, strerror(errno));
	good = read_document(fd, &document) && take_document(document);
	forget(document);
	close(fd);
	return good;
}

/* Look at the file, and read it if it has changed, or in any case. */
static void
look(bool in_any_case)
{
	FileState	now = look_at_file();
	bool		same = memcmp(&now, &seen, sizeof(now)) == 0;
	bool		good;

	next_look = connection_clock() + LOOK_PAUSE;
	if (same && settled && !in_any_case)
		return;
	seen = now;
	good = now.error == 0 ? read_file() : failed(HINT_FILE, strerror(now.error));
	settled = now.error == 0 ? has_settled(&now) : same;
	if (good)
	{
		fault_due = fault[0] != '\0' || success_due;
		fault[0] = '\0';
	}
	else
		fault_due = same || in_any_case || settled;
	asked_for = in_any_case;
}

/* Replace a copy of a setting; true: it was another one. What was in it may be secret. */
static bool
note_setting(char **copy, const char *value)
{
	bool		other = *copy == NULL || strcmp(*copy, value) != 0;

	if (!other)
		return false;
	if (*copy != NULL)
		explicit_bzero(*copy, strlen(*copy));
	free(*copy);
	*copy = strdup(value);
	return true;
}

void
keys_reload(void)
{
	bool		changed = note_setting(&known.secret, realtime_jwt_secret);

	changed |= note_setting(&known.api_keys, realtime_api_keys);
	changed |= note_setting(&known.claim_validators, realtime_claim_validators);
	if (note_setting(&known.jwks_file, realtime_jwks_file))
		memset(&seen, 0, sizeof(seen));
	tokens_due |= changed;
	if (uses_file())
		look(true);
	else
	{
		if (jwks != NULL)
			take_keys(NULL);
		fault_due = fault[0] != '\0';
		fault[0] = '\0';
	}
	keys_turn();
}

JwtKeys
keys_now(void)
{
	if (uses_file() && connection_clock() >= next_look)
		look(false);
	return (JwtKeys)
	{
		.secret = slice_cstring(realtime_jwt_secret),
		.claim_validators = slice_cstring(realtime_claim_validators),
		.jwks = jwks
	};
}

/* Each listener reads the file; one of them is enough to tell of it, at the start and after SIGHUP the first. */
static bool
is_speaker(void)
{
	return asked_for || fault[0] == '\0' ? state_is_first() : !state_known_to_sibling(fault);
}

static void
tell_success(void)
{
	ereport(is_speaker() ? LOG : DEBUG1,
			(errmsg("realtime listener: %d keys were read from realtime.jwks_file \"%s\"",
					jwks_count(jwks), realtime_jwks_file),
			 jwks_left_out(jwks) > 0 ? errdetail("%d were left out: %s.", jwks_left_out(jwks), jwks_note(jwks)) : 0));
}

/* In the log once, and in the state of this listener for as long as it lasts. */
static void
tell_fault(void)
{
	char		detail[FAULT_SIZE * 2];

	if (fault[0] == '\0')
	{
		logged[0] = '\0';
		state_set_trouble(STATE_KEYS, NULL, NULL);
		return;
	}
	snprintf(detail, sizeof(detail), "could not read realtime.jwks_file \"%.80s\": %s", realtime_jwks_file, fault);
	if (asked_for || strcmp(logged, fault) != 0)
		ereport(is_speaker() ? LOG : DEBUG1,
				(errmsg("realtime listener: %s", detail),
				 jwks != NULL ? errdetail("The %d keys that were read before stay in use.", jwks_count(jwks)) :
				 errdetail("Tokens are verified without its keys."),
				 errhint("%s", fault_hint)));
	strlcpy(logged, fault, sizeof(logged));
	state_set_trouble(STATE_KEYS, detail, fault_hint);
}

void
keys_turn(void)
{
	if (uses_file() && connections_count() > 0 && connection_clock() >= next_look)
		look(false);
	if (success_due)
		tell_success();
	if (fault_due)
		tell_fault();
	success_due = fault_due = false;
	if (tokens_due)
		channels_recheck_tokens();
	tokens_due = false;
}

int64
keys_wait(void)
{
	if (tokens_due || success_due || fault_due)
		return 0;
	if (!uses_file() || connections_count() == 0)
		return -1;
	return next_look > connection_clock() ? (int64) (next_look - connection_clock()) : 0;
}
