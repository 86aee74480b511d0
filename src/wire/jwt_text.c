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
#define NO_SIGNER_FOR	"Failed to generate JWT signer for key ID (kid) \""
#define NO_SIGNER_END	"\", check your JWT secret or JWKS configuration"
#define MISSING_CLAIMS	"Fields `role` and `exp` are required in JWT"
#define MAX_CLAIM_NAME	64		/* bytes of a claim's name in a text */
#define MAX_KEY_NAME	128		/* bytes of a key's name in a text */

/* There is no key of the name that the token gives. */
static void
write_no_signer_for(Writer *w, const JwtClaims *claims)
{
	writer_literal(w, NO_SIGNER_FOR);
	writer_slice(w, slice_cut_text(claims->kid, MAX_KEY_NAME));
	writer_literal(w, NO_SIGNER_END);
}

/* How a connect is refused. */
int
jwt_write_connect_refusal(Writer *w, JwtStatus status, const JwtClaims *claims)
{
	switch (status)
	{
		case JWT_MALFORMED:
			writer_literal(w, NOT_A_JWT);
			return 401;
		case JWT_NO_SIGNER:
			writer_literal(w, NO_SIGNER);
			return 401;
		case JWT_NO_SIGNER_FOR_KEY:
			write_no_signer_for(w, claims);
			return 401;
		case JWT_BAD_SIGNATURE:
			writer_literal(w, BAD_SIGNATURE);
			return 401;
		case JWT_EXPIRED:
			writer_literal(w, "Token has expired");
			return 401;
		case JWT_CLAIMS_MISSING:
			writer_literal(w, MISSING_CLAIMS);
			return 401;
		case JWT_OK:
		case JWT_CLAIMS_NOT_OBJECT:
		case JWT_EXPIRED_FRACTION:
		case JWT_BAD_EXPIRY:
		case JWT_BAD_ISSUED_AT:
		case JWT_CLAIM_MISMATCH:
			break;
	}
	writer_literal(w, "Error connecting to Realtime");
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
		case JWT_NO_SIGNER_FOR_KEY:
			writer_literal(w, "JwtSignerError: ");
			write_no_signer_for(w, claims);
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
		case JWT_NO_SIGNER_FOR_KEY:
			write_no_signer_for(w, claims);
			break;
		default:
			jwt_write_join_refusal(w, status, claims, now);
			break;
	}
}
