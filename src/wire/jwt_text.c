/*
 * jwt_text.c
 *		What a client is told about a token that is not accepted.
 */
#include "jwt.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define NOT_A_JWT		"The token provided is not a valid JWT"
#define BAD_SIGNATURE	"Failed to validate JWT signature"
#define NO_SIGNER		"Failed to generate JWT signer, check your JWT secret or JWKS configuration"
#define MISSING_CLAIMS	"Fields `role` and `exp` are required in JWT"
#define MAX_CLAIM_NAME	64		/* bytes of a claim's name in a text */

/* How a connect is refused. */
int
jwt_connect_refusal(JwtStatus status, Slice *text)
{
	switch (status)
	{
		case JWT_MALFORMED:
			*text = SLICE_LITERAL(NOT_A_JWT);
			return 401;
		case JWT_NO_SIGNER:
			*text = SLICE_LITERAL(NO_SIGNER);
			return 401;
		case JWT_BAD_SIGNATURE:
			*text = SLICE_LITERAL(BAD_SIGNATURE);
			return 401;
		case JWT_EXPIRED:
			*text = SLICE_LITERAL("Token has expired");
			return 401;
		case JWT_CLAIMS_MISSING:
			*text = SLICE_LITERAL(MISSING_CLAIMS);
			return 401;
		case JWT_OK:
		case JWT_CLAIMS_NOT_OBJECT:
		case JWT_EXPIRED_FRACTION:
		case JWT_BAD_EXPIRY:
		case JWT_BAD_ISSUED_AT:
		case JWT_CLAIM_MISMATCH:
			break;
	}
	*text = SLICE_LITERAL("Error connecting to Realtime");
	return 500;
}

/* The body of a refused connect. */
void
jwt_write_error_body(Writer *w, Slice text)
{
	writer_literal(w, "{\"error\":");
	writer_json_string(w, text);
	writer_char(w, '}');
}

/* "Token has expired N seconds ago". */
static void
write_expired(Writer *w, const JwtClaims *claims, int64_t now)
{
	uint64_t	ago = now > claims->exp ? (uint64_t) now - (uint64_t) claims->exp : 0;

	writer_literal(w, "Token has expired ");
	writer_uint(w, ago);
	writer_literal(w, " seconds ago");
}

/* A claim that has not the value that the setting demands. */
static void
write_mismatch(Writer *w, const JwtClaims *claims)
{
	writer_literal(w, "The claim `");
	writer_slice(w, slice_cut_text(claims->mismatch, MAX_CLAIM_NAME));
	writer_literal(w, "` has not the required value");
}

/* Why a join is refused, with the code. */
void
jwt_write_join_refusal(Writer *w, JwtStatus status, const JwtClaims *claims, int64_t now)
{
	switch (status)
	{
		case JWT_OK:
			break;
		case JWT_MALFORMED:
		case JWT_CLAIMS_NOT_OBJECT:
		case JWT_BAD_ISSUED_AT:
			writer_literal(w, "MalformedJWT: " NOT_A_JWT);
			break;
		case JWT_NO_SIGNER:
			writer_literal(w, "JwtSignerError: " NO_SIGNER);
			break;
		case JWT_BAD_SIGNATURE:
			writer_literal(w, "JwtSignatureError: " BAD_SIGNATURE);
			break;
		case JWT_EXPIRED:
		case JWT_EXPIRED_FRACTION:
			writer_literal(w, "InvalidJWTToken: ");
			write_expired(w, claims, now);
			break;
		case JWT_BAD_EXPIRY:
			writer_literal(w, "InvalidJWTToken: Token expiration time is invalid");
			break;
		case JWT_CLAIM_MISMATCH:
			writer_literal(w, "InvalidJWTToken: ");
			write_mismatch(w, claims);
			break;
		case JWT_CLAIMS_MISSING:
			writer_literal(w, "InvalidJWTToken: " MISSING_CLAIMS);
			break;
	}
}

/*
 * Why a joined channel is shut.  The texts that clients know from the reference
 * have no code there; the others are those of a refused join.
 */
void
jwt_write_shutdown(Writer *w, JwtStatus status, const JwtClaims *claims, int64_t now)
{
	switch (status)
	{
		case JWT_MALFORMED:
		case JWT_CLAIMS_NOT_OBJECT:
		case JWT_BAD_ISSUED_AT:
			writer_literal(w, NOT_A_JWT);
			break;
		case JWT_EXPIRED:
		case JWT_EXPIRED_FRACTION:
			write_expired(w, claims, now);
			break;
		case JWT_CLAIMS_MISSING:
			writer_literal(w, MISSING_CLAIMS);
			break;
		default:
			jwt_write_join_refusal(w, status, claims, now);
			break;
	}
}
