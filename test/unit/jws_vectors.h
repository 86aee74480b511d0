/*
 * jws_vectors.h
 *		Published signatures, and tokens that another library made.
 */
#ifndef REALTIME_TEST_JWS_VECTORS_H
#define REALTIME_TEST_JWS_VECTORS_H

#include "wire/slice.h"

typedef struct PublishedSignature
{
	const char *source;
	const char *algorithm;
	const char *key;			/* the JWK, with the kid of the source or else "key" */
	Slice		input;			/* what was signed */
	const char *signature;		/* base64url */
} PublishedSignature;

static const PublishedSignature published_signatures[] = {
	{
		"RFC 7515, A.1", "HS256",
		"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgU"
		"uTwjAzZr1Z9CAow\",\"kid\":\"key\"}",
		SLICE_INIT(
			"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA"
			"6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"),
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	},
	{
		"RFC 7515, A.2", "RS256",
		"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4q"
		"PCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf"
		"63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I"
		"5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\""
		",\"kid\":\"key\"}",
		SLICE_INIT(
			"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9"
			"pc19yb290Ijp0cnVlfQ"),
		"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG"
		"bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
		"0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6"
		"LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
	},
	{
		"RFC 7515, A.3", "ES256",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\""
		"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"kid\":\"key\"}",
		SLICE_INIT(
			"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9"
			"pc19yb290Ijp0cnVlfQ"),
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	},
	{
		"RFC 7515, A.4", "ES512",
		"{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnY"
		"G_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1W"
		"DhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\",\"kid\":\"key\"}",
		SLICE_INIT(
			"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA"),
		"AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwF"
		"KdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
	},
	{
		"RFC 7520, 4.1", "RS256",
		"{\"kty\":\"RSA\",\"use\":\"sig\",\"n\":\"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-"
		"O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkH"
		"Hig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQb"
		"S0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
		"\",\"e\":\"AQAB\",\"kid\":\"bilbo.baggins@hobbiton.example\"}",
		SLICE_INIT(
			"eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3V"
			"zIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHl"
			"vdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9"
			"mZiB0by4"),
		"MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7P"
		"NDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9e"
		"Ro4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4"
		"uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
	},
	{
		"RFC 7520, 4.3", "ES512",
		"{\"kty\":\"EC\",\"use\":\"sig\",\"crv\":\"P-521\",\"x\":\"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v1"
		"3nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt\",\"y\":\"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN"
		"34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1\",\"kid\":\"bilbo.baggins@hobbiton.example"
		"\"}",
		SLICE_INIT(
			"eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3V"
			"zIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHl"
			"vdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9"
			"mZiB0by4"),
		"AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPB"
		"u_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
	},
	{
		"RFC 7520, 4.4", "HS256",
		"{\"kty\":\"oct\",\"use\":\"sig\",\"alg\":\"HS256\",\"k\":\"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6"
		"mxCcYg\",\"kid\":\"018c0ae5-4d9b-471b-bfd6-eef314bc7037\"}",
		SLICE_INIT(
			"eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGF"
			"uZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5"
			"kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN"
			"3ZXB0IG9mZiB0by4"),
		"s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
	},
	{
		"RFC 8037, A.4", "EdDSA",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid"
		"\":\"key\"}",
		SLICE_INIT(
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
	},
	{
		"RFC 6979, A.2.6", "ES384",
		"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"7DpOQVtOGaRWhhgCn0J_pdqai8SukuAuBqrlKGswDGTe-PDqkFWGYG"
		"SiVFFUgLwT\",\"y\":\"gBXZty19VyROqO-awMYhiWcIpZNn-d-59UyoSz8cnbEoiyMcOuDU_nNE_SUzJkcg\",\"kid\":"
		"\"key\"}",
		SLICE_INIT(
			"sample"),
		"lO27kqXsuKrUc25WxpGRaz-IFAZmzp-nPWTE6pWtEzyBpkgVLkSs-W423R6A-r5Gme9K6xXxeM6h_kDbJgMTjxMOdAoZYkUm"
		"IDtjUdCjqU-jKcFFeG5nnnuCxxo4YorI",
	},
	{
		"RFC 8032, 7.4", "Ed448",
		"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"O6FtoMbyzB8wGHdAdW9eeY1rxfwBXXxjzJUQ7j_UStwk2OlotuRub"
		"5TRm5RTYXJr114UnvCYF_WA\",\"kid\":\"key\"}",
		SLICE_INIT(
			"\x64\xa6\x5f\x3c\xde\xdc\xdd\x66\x81\x1e\x29\x15"),
		"fu6rfE5Q-3mbQY7l4xl_9r8V1DoUw0OJtZ3Rp7G4W0rpBDispjS-pF46JpXxJw8H_c33xiuO_q8AtFwslrpFfrGovwdaPbKO"
		"XCT2uSPtStdHw8ngPHB577h8sRDTqZhh5yADy65ta4uCfk5sFDBk_zwA",
	},
};

/* A set of keys, and a token for each algorithm with the claims {"role":"anon","exp":2082758400}. */
static const Slice foreign_keys = SLICE_INIT(
	"{\"keys\":["
		"{\"kty\":\"RSA\",\"n\":\"6V_z_dk9qca5M7s-eMdFxagfxkoaRo3MfIkAnmdfe6UlCVgXxqUK8TpYtsV2IbOjAifuXUZ"
		"2oMwIpPvpaHryan4MxZ2U7qb8-6t5BlKhIElEoYLDSqgta88f3oXXXWYi3P3J067WBXK0HKMuzXko6QqXB0O8Hi4UoohQObC"
		"sCmuqvdifMPRs87ENmCC1zDItPOUUk-6lhLsPm4jt-b-C0n1AUISeQ7p0DenZSu5ePu5OnjGsf2xKBJbYZLm9qmnbDBz8hY6"
		"RAqkY34R2vjHK3ztiu_Bso0EJnAgRcuoHGz3aOBwy_Dr0TE4vBclMV8eNXubBNyr03uYeEeZc35JI3w\",\"e\":\"AQAB\""
		",\"kid\":\"rsa\"},"
		"{\"kty\":\"EC\",\"x\":\"HX3Xvaftw6fRe0L4BUaN58WSx_LGi5dAtD3nivK3fDw\",\"y\":\"SoLL6M6lKrYi-Eu3jj"
		"-xrhLGB-RrLgApu5yr3ZJMGCc\",\"crv\":\"P-256\",\"kid\":\"p256\"},"
		"{\"kty\":\"EC\",\"x\":\"Igi4rTLhVK9RdDezvigRoABKU82lX5HGvzAVISIvGvA2EK8kF6W21QRoR3Lgy9Bo\",\"y\""
		":\"VD0goGTEmdOxNqKuyqmYip-Ow4EuFdeV-tera6XDlb_7fz72xhNxVG5OUqLMHekb\",\"crv\":\"P-384\",\"kid\":"
		"\"p384\"},"
		"{\"kty\":\"EC\",\"x\":\"AN6gAY8mlIBLHgXv59dZIaL1wHdWAW20AQH4KaR5t5oTyBSNg0mHzBnWmgGs8gZngv8exmhS"
		"ualhIv_YtfsrYREp\",\"y\":\"AGesHf1f5M3HT7cMFMl0fdxBBrZh44oioY7Cwdh3vHFiIJL3Km96T-eZEbf19XqIR2gED"
		"F8MYGpZ0bcXj6-TcnvK\",\"crv\":\"P-521\",\"kid\":\"p521\"},"
		"{\"crv\":\"Ed25519\",\"x\":\"VCYQr5oaXrToXdW4wjYJvQ6DxDQurZ2u1JoCI0MgqZ0\",\"kty\":\"OKP\",\"kid"
		"\":\"ed25519\"},"
		"{\"crv\":\"Ed448\",\"x\":\"0DgSjtl5XK0k3y8R-K88eLc8j1yjE_nsUObv9c6FS_RIPtYTKHT4gu2c8Hv8nskGlSiZo"
		"4qV1JOA\",\"kty\":\"OKP\",\"kid\":\"ed448\"},"
		"{\"kty\":\"oct\",\"k\":\"IDJ-yKasD0zJ8RCUsgKpE9LAHkP1Suh5xb4Zrc5IjHFALWKNfyftWBnhN2MZN2q0IW-MyxT"
		"jkL8091ClAP-Rog\",\"kid\":\"oct\"}"
	"]}");

static const struct
{
	const char *algorithm;
	const char *token;
}			foreign_tokens[] = {
	{
		"RS256",
		"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".Hdd8bmFjq7Naz3P--oU-N2MlbMNjDO3vnsqCuW6mixHHdqGSDB2bNPoz7idTWwQgzmMG0blJGmtilbUrYya4TM6wNw-KuGL"
		"Jjlw4meTReDHmeJ1mYorPerkDNj2LQAJDizEDtVNH-4XpVPJakdTMkyyoWTtSPWedWou3n3xjgQ3ZBbh4RH4bymDCKRgnmiA"
		"YxkGk4asCmehKzjfkOoEq8rtI_VbOELJPL7Ob45TgIj3p9mgFsLGeLC05JG5U2J_cSN2O8G0Fm0SMjm--8YqZomHFlI2ShiE"
		"eaYGq9YNWMn5TKr6NKJzmpvkWzlfd63nnKB7Eqr5vUyPEJmqnNycP1A",
	},
	{
		"RS384",
		"eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".h7itADhhI_OLYzf6zJskDsahJKkP6gSeBErxIjgZTnlOgfuAvGPPUBvfspnosqM4-bo7_wyR-UuchFgTjm6rJj5YOWAP7E2"
		"W9badQkJPQAUb5dfa-Z1e_XU2xP1yqBz5yLKlNErKJTPHbYxL_PUOml35dR6IaLPktLnh7L03KeYW59KeCH8CUq1jVEap0NR"
		"e-xa83jR9kA5VXQCk_1OncUW8IbrKofzPGBjMPYfexOr3I5CiX2yhJqTsuDbXuBCGo9JIpjd9tpLz9G62C1MQ1yN01Xi8XAC"
		"6yJJKD4UE4ODe5lap_6l1dCaCL5jtsFU3cmKQC1lfeDRGq0DwIPWU4A",
	},
	{
		"RS512",
		"eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".ctEOCIdZYl29rPZkMEGYN_PORcaEhSb5ma-T3D46Neri49iuD1bnzgjp--ynypXxADREszp_9ImuFldhuELLieJFrPtCvQk"
		"KhBQUXk1Jd3VRqgQWlqISMBiPKd3uH_N9Bj-v0eFa9wEVEIA1RHQVd3-9MLtctqTgz9iR0BrLVFh-H_Bvb86msnXgS2R19kP"
		"drPMszOPD9bhSmWNaDcXnfYIHOw0BoCP2W3xgO61VLsrzfyMehWXTU7O2uoGMAoOs7P-TAeI3lJ9jn0VIz7otnD561ICyHeV"
		"m9a2EWcpPFS6REuTPWXU6RIZeMmk6Kj2B53YbdVKyB6H6WNEzVX-_mA",
	},
	{
		"ES256",
		"eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InAyNTYifQ.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwM"
		"H0.Xw6zhQr-HpJgiTJXDsmk6xo3XGkGnbES9Q4ZnYFZDQicoNuaSQfWyFV1YWk5v1I46H4VY7fO9UNZD35h9uOsxw",
	},
	{
		"ES384",
		"eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6InAzODQifQ.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwM"
		"H0.p9sQ2y3-wTOs26jCPspE5SVcR8-YOLXATTEgmhsFCo4K8SZeKSHPIAJHCExJyphyveRKH07RFwvAln2P3wrEsCXkrmrqo"
		"0rZEHg-91RdK8M1N0BtVqoGyzqI5-FWr6rF",
	},
	{
		"ES512",
		"eyJhbGciOiJFUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6InA1MjEifQ.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwM"
		"H0.APphc5O3dZ68l7jZ5VMP8waT4EosgFdZjuPSTpZpfS1qYRxdZwhHm_dQ6pHE7hHJOv8YKJW-u--prugcEpLwtsPKAfOzI"
		"c4Jz-Q8K-BIbPYFVuql9Ylc2DmkF4tWjMF32SEEpnHOETS1aWyGR9UoSI1QzRGF6iZXkT_TaaBadWAkVpmv",
	},
	{
		"EdDSA",
		"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImVkMjU1MTkifQ.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1O"
		"DQwMH0.pTIKAKdxnplviYrE23PQ9WZupuwUp48TjnlQj9N3CmTuWiMdM7p3Z2vIB_e3qXxZWM9H5Qjk9KQDMfNsZ3nrDQ",
	},
	{
		"Ed25519",
		"eyJhbGciOiJFZDI1NTE5IiwidHlwIjoiSldUIiwia2lkIjoiZWQyNTUxOSJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc"
		"1ODQwMH0.gj51Ee5dRh6t5dyirxYFzbT7aNuKhZYsCf6s7PZ-JZ9G0Dd3CA1f-U-F1dak7-cLsVBcivk_onFDq3z01PJkBQ",
	},
	{
		"EdDSA",
		"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImVkNDQ4In0.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQw"
		"MH0.SeDS111wLVs6TQaqP13guZcHBPuqjeYa2JHjw2StJmebAVy3HazAhKUbxGK2vADUssILuXUD1mwA_XABAsRZNyLZvELk"
		"nmE6fp2kyRKPIeOt9mSWDGjmpMYlGmXoQvIHfiFQm3UaOFA7g9Uw9jkxGQ0A",
	},
	{
		"Ed448",
		"eyJhbGciOiJFZDQ0OCIsInR5cCI6IkpXVCIsImtpZCI6ImVkNDQ4In0.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQw"
		"MH0.g6sLje0oZCqfMINCbjVs1Sm2qjII0MzhWG8kXiFx4Ne9gM0vrhrCFggeDyOLDyCd1TVGCVlCMbuASXj18Kiuzwguz-BF"
		"NqBlzycUvD_92hB0L-u4BMh7Ko7-XJjkuaHrIoAwRi_f5EVRCWH3wrPNgRsA",
	},
	{
		"HS256",
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Im9jdCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".wOB6SvkGMFhmADjM1BzP28GjZ4B_GkmnrC5-SnatzEg",
	},
	{
		"HS384",
		"eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6Im9jdCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".glGSBjHXncLPtpe941KWDx_FaiIyLiDDmBr8divmRyvZ-LkABuvNxSp1zQK9JTio",
	},
	{
		"HS512",
		"eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCIsImtpZCI6Im9jdCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0"
		".3PNKmHmsM20Cd_AH9SS4RGKzqejcqMCsQ9OCwOk8Lk0Z-r1Kpn_EHQcIZzLHopFRwBQvUbvl7G-_IHaKQ_PL3Q",
	},
};

#endif							/* REALTIME_TEST_JWS_VECTORS_H */
