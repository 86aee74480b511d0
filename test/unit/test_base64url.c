/*
 * test_base64url.c
 *		base64url without padding.
 */
#include "unit.h"

#include "wire/base64url.h"

/* RFC 4648, section 10, without the padding; and the two digits that differ from base64. */
static const struct
{
	Slice		bytes;
	Slice		text;
}			vectors[] = {
	{SLICE_INIT(""), SLICE_INIT("")},
	{SLICE_INIT("f"), SLICE_INIT("Zg")},
	{SLICE_INIT("fo"), SLICE_INIT("Zm8")},
	{SLICE_INIT("foo"), SLICE_INIT("Zm9v")},
	{SLICE_INIT("foob"), SLICE_INIT("Zm9vYg")},
	{SLICE_INIT("fooba"), SLICE_INIT("Zm9vYmE")},
	{SLICE_INIT("foobar"), SLICE_INIT("Zm9vYmFy")},
	{SLICE_INIT("\x03\xec\xff\xe0\xc1"), SLICE_INIT("A-z_4ME")},	/* RFC 7515, appendix C */
	{SLICE_INIT("\xff\xff\xff"), SLICE_INIT("____")},
	{SLICE_INIT("\0\0\0\0"), SLICE_INIT("AAAAAA")},
};

static void
encode(Writer *w, const void *argument)
{
	const Slice *bytes = argument;

	base64url_write(w, bytes->data, bytes->len);
}

static void
test_vectors(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		char		buffer[16];
		size_t		len;

		char		text[16];
		Writer		w = writer_fixed(text, sizeof(text));

		encode(&w, &vectors[i].bytes);
		assert_slice(writer_written(&w), vectors[i].text);
		assert_int_equal(BASE64URL_ENCODED_SIZE(vectors[i].bytes.len), vectors[i].text.len);
		assert_int_equal(BASE64URL_DECODED_SIZE(vectors[i].text.len), vectors[i].bytes.len);
		assert_true(base64url_decode(vectors[i].text, buffer, vectors[i].bytes.len, &len));
		assert_slice(slice_make(buffer, len), vectors[i].bytes);
		if (len > 0)
			assert_false(base64url_decode(vectors[i].text, buffer, len - 1, &len));
	}
}

static void
test_refused(void **state)
{
	static const Slice texts[] = {
		SLICE_INIT("A"), SLICE_INIT("Zm9vY"), SLICE_INIT("Zg=="), SLICE_INIT("Zg="), SLICE_INIT("Zm8="),
		SLICE_INIT("Zm9v===="), SLICE_INIT("ab+/"), SLICE_INIT("ab c"), SLICE_INIT("abc\n"),
		SLICE_INIT("Zh"), SLICE_INIT("Zm9"), SLICE_INIT("ab\0c"), SLICE_INIT("\xc3\xa9zz"),
	};
	char		buffer[16];
	size_t		len;

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		if (base64url_decode(texts[i], buffer, sizeof(buffer), &len))
			fail_msg("accepted %.*s", (int) texts[i].len, texts[i].data);
		assert_int_equal(len, 0);
	}
}

static void
test_round_trip(void **state)
{
	(void) state;
	for (size_t len = 0; len < 300; len++)
	{
		unsigned char bytes[300];
		char		text[BASE64URL_ENCODED_SIZE(300)];
		Writer		w = writer_fixed(text, BASE64URL_ENCODED_SIZE(len));
		size_t		decoded;
		unsigned char back[300];

		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char) (i * 37 + len);
		base64url_write(&w, bytes, len);
		assert_false(w.failed);
		assert_int_equal(w.len, BASE64URL_ENCODED_SIZE(len));
		assert_true(base64url_decode(slice_make(text, w.len), back, len, &decoded));
		assert_int_equal(decoded, len);
		assert_int_equal(memcmp(bytes, back, len), 0);
	}
}

static void
test_encoder(void **state)
{
	Slice		bytes = SLICE_LITERAL("any carnal pleas");

	(void) state;

	/* Groups are written whole or not at all, so only the sizes between them differ. */
	for (size_t size = 0; size < 22; size++)
	{
		char		buffer[22];
		Writer		w = writer_fixed(buffer, size);

		base64url_write(&w, bytes.data, bytes.len);
		assert_true(w.failed);
	}
	check_encoder(encode, &bytes, SLICE_LITERAL("YW55IGNhcm5hbCBwbGVhcw"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encoder),
	};

	return cmocka_run_group_tests_name("base64url", tests, NULL, NULL);
}
