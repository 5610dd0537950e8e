#include "scanners/metadata_value.h"

#include <endian.h>
#include <string.h>

#include "scanners/cleanup.h"

/* time.Time.MarshalBinary: version, seconds since the year 1, nanoseconds, zone. */
#define TIME_SIZE_1 15
#define TIME_SIZE_2 16
#define UNIX_EPOCH_IN_GO INT64_C(62135596800)

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum any_field { ANY_TYPE_URL = 1, ANY_VALUE = 2 };

struct bytes {
	const uint8_t *at;
	size_t left;
};

/* Takes a varint off @bytes. Returns false if there is none. */
static bool take_varint(struct bytes *bytes, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && bytes->left > 0; shift += 7) {
		uint8_t byte = *bytes->at++;

		bytes->left--;
		if (shift == 63 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool take_bytes(struct bytes *bytes, uint64_t size, struct bytes *ret)
{
	if (size > bytes->left)
		return false;
	*ret = (struct bytes){bytes->at, (size_t)size};
	bytes->at += size;
	bytes->left -= (size_t)size;
	return true;
}

int metadata_text(const struct bolt_item *item, char **ret)
{
	const uint8_t *bytes;
	char *copy;
	size_t size;
	int r = bolt_item_value(item, &bytes, &size);

	if (r != 0 || size == 0)
		return r;
	if (memchr(bytes, '\0', size))
		return BOLT_VALUE;
	copy = strndup((const char *)bytes, size);
	if (!copy)
		return -ENOMEM;
	free(*ret);
	*ret = copy;
	return 0;
}

int metadata_uvarint(const struct bolt_item *item, uint64_t *ret)
{
	struct bytes bytes;
	int r = bolt_item_value(item, &bytes.at, &bytes.left);

	if (r != 0)
		return r;
	return take_varint(&bytes, ret) ? 0 : BOLT_VALUE;
}

int metadata_varint(const struct bolt_item *item, int64_t *ret)
{
	uint64_t zigzag;
	int r = metadata_uvarint(item, &zigzag);

	if (r == 0)
		*ret = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
	return r;
}

int metadata_time(const struct bolt_item *item, int64_t *ret)
{
	const uint8_t *bytes;
	uint64_t seconds;
	size_t size;
	int r = bolt_item_value(item, &bytes, &size);

	if (r != 0)
		return r;
	if (!(size == TIME_SIZE_1 && bytes[0] == 1) && !(size == TIME_SIZE_2 && bytes[0] == 2))
		return BOLT_VALUE;
	memcpy(&seconds, bytes + 1, sizeof(seconds));
	*ret = (int64_t)(be64toh(seconds) - (uint64_t)UNIX_EPOCH_IN_GO);
	return 0;
}

/* One field of a message: its number and, if it is one of bytes, these. */
static bool take_field(struct bytes *message, uint64_t *ret_number, struct bytes *ret)
{
	uint64_t tag, value;

	if (!take_varint(message, &tag))
		return false;
	*ret_number = tag >> 3;
	*ret = (struct bytes){NULL, 0};
	switch (tag & 7) {
	case WIRE_VARINT:
		return take_varint(message, &value);
	case WIRE_64:
		return take_bytes(message, sizeof(uint64_t), ret);
	case WIRE_BYTES:
		return take_varint(message, &value) && take_bytes(message, value, ret);
	case WIRE_32:
		return take_bytes(message, sizeof(uint32_t), ret);
	default:
		return false;
	}
}

int metadata_any(const struct bolt_item *item, const uint8_t **ret, size_t *ret_size)
{
	struct bytes message, field, value = {NULL, 0};
	uint64_t number;
	bool typed = false;
	int r = bolt_item_value(item, &message.at, &message.left);

	if (r != 0)
		return r;
	/* An option that was not set is stored as an empty message. */
	if (message.left == 0)
		typed = true;
	while (message.left > 0) {
		if (!take_field(&message, &number, &field))
			return BOLT_VALUE;
		typed |= number == ANY_TYPE_URL && field.left > 0;
		if (number == ANY_VALUE)
			value = field;
	}
	if (!typed)
		return BOLT_VALUE;
	*ret = value.at;
	*ret_size = value.left;
	return 0;
}
