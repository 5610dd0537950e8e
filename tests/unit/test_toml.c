#include <errno.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/toml.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static void free_toml(struct toml **toml)
{
	toml_free(*toml);
}
#define cleanup_toml __attribute__((cleanup(free_toml)))

static int parse(const char *text, struct toml **ret)
{
	struct toml_error error = { 0 };

	return toml_parse(text, strlen(text), ret, &error);
}

/* The line of the error, 0 for a good document. */
static unsigned error_line(const char *text)
{
	cleanup_toml struct toml *toml = NULL;
	struct toml_error error = { 0 };
	int r = toml_parse(text, strlen(text), &toml, &error);

	if (r == 0)
		return 0;
	CHECK(error.reason != NULL);
	CHECK(toml == NULL);
	return error.line;
}

static const char *string_at(const struct toml *toml, const char *key)
{
	const struct toml_value *value = toml_get(toml_document(toml), key);

	return value && value->type == TOML_STRING ? value->string : NULL;
}

static long long integer_at(const struct toml *toml, const char *key)
{
	const struct toml_value *value = toml_get(toml_document(toml), key);

	return value && value->type == TOML_INTEGER ? (long long)value->integer : -999;
}

static void test_strings(void)
{
	cleanup_toml struct toml *toml = NULL;

	CHECK_EQ(parse("a = \"tab\\t\\u00e9\\U0001F600 \\\"q\\\"\"\n"
		       "b = 'C:\\n'\n"
		       "c = \"\"\"\none\n  two \\\n     three\"\"\"\n"
		       "d = '''\nraw\\''two'''''\n"
		       "\"quoted . key\" = \"x\" # comment\r\n"
		       "e = \"\"\"\"\"two quotes\"\"\"\"\"\r\n"
		       "f = \"\"",
		       &toml),
		 0);
	CHECK_STR(string_at(toml, "a"), "tab\t\xc3\xa9\xf0\x9f\x98\x80 \"q\"");
	CHECK_STR(string_at(toml, "b"), "C:\\n");
	CHECK_STR(string_at(toml, "c"), "one\n  two three");
	CHECK_STR(string_at(toml, "d"), "raw\\''two''");
	CHECK_STR(string_at(toml, "quoted . key"), "x");
	CHECK_STR(string_at(toml, "e"), "\"\"two quotes\"\"");
	CHECK_STR(string_at(toml, "f"), "");
}

static void test_integers(void)
{
	cleanup_toml struct toml *toml = NULL;

	CHECK_EQ(parse("a=+99\nb=-17\nc=0xDEAD_beef\nd=0o755\ne=0b1010\nf=1_000\ng=-0\n"
		       "h=9223372036854775807\ni=-9223372036854775808\n",
		       &toml),
		 0);
	CHECK_EQ(integer_at(toml, "a"), 99);
	CHECK_EQ(integer_at(toml, "b"), -17);
	CHECK_EQ(integer_at(toml, "c"), 0xdeadbeef);
	CHECK_EQ(integer_at(toml, "d"), 0755);
	CHECK_EQ(integer_at(toml, "e"), 10);
	CHECK_EQ(integer_at(toml, "f"), 1000);
	CHECK_EQ(integer_at(toml, "g"), 0);
	CHECK_EQ(integer_at(toml, "h"), INT64_MAX);
	CHECK_EQ(integer_at(toml, "i"), INT64_MIN);
}

static void test_types_of_bare_values(void)
{
	static const struct {
		const char *text;
		enum toml_type type;
	} good[] = {
		{ "a=true", TOML_BOOLEAN },
		{ "a=false", TOML_BOOLEAN },
		{ "a=1.5", TOML_FLOAT },
		{ "a=-0.0", TOML_FLOAT },
		{ "a=6.626e-34", TOML_FLOAT },
		{ "a=1e1_0", TOML_FLOAT },
		{ "a=+inf", TOML_FLOAT },
		{ "a=nan", TOML_FLOAT },
		{ "a=1979-05-27", TOML_DATETIME },
		{ "a=07:32:00.999", TOML_DATETIME },
		{ "a=1979-05-27T07:32:00Z", TOML_DATETIME },
		{ "a=1979-05-27 07:32:00-07:00 # c", TOML_DATETIME },
		{ "a=[]", TOML_ARRAY },
		{ "a={}", TOML_TABLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		cleanup_toml struct toml *toml = NULL;

		if (!CHECK_EQ(parse(good[i].text, &toml), 0)) {
			printf("# %s\n", good[i].text);
			continue;
		}
		CHECK_EQ(toml_get(toml_document(toml), "a")->type, good[i].type);
	}
}

static void test_tables(void)
{
	cleanup_toml struct toml *toml = NULL;
	const struct toml_value *root, *value;

	CHECK_EQ(parse("a.b.c = 1\na.b.d = 2\n"
		       "[x.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir='/c'\n"
		       "[x]\nk = 1\n"
		       "[[list]]\nn = 1\n[list.sub]\ns=1\n[[list]]\nn = 2\n"
		       "[inline]\np = { q.r = [1, 2,\n # comment\n 3, ], s = 'y' }\n",
		       &toml),
		 0);
	root = toml_document(toml);
	value = toml_get(toml_get(toml_get(root, "a"), "b"), "d");
	CHECK(value && value->integer == 2);
	value = toml_get(toml_get(toml_get(root, "x"), "io.containerd.grpc.v1.cri"), "cni");
	CHECK_STR(toml_get(value, "conf_dir")->string, "/c");
	CHECK_EQ(toml_get(toml_get(root, "x"), "k")->integer, 1);
	value = toml_get(root, "list");
	CHECK_EQ(value->type, TOML_ARRAY);
	CHECK_EQ(toml_get(toml_get(value->first, "sub"), "s")->integer, 1);
	CHECK_EQ(toml_get(value->last, "n")->integer, 2);
	value = toml_get(toml_get(root, "inline"), "p");
	CHECK_STR(toml_get(value, "s")->string, "y");
	value = toml_get(toml_get(value, "q"), "r");
	CHECK_EQ(value->last->integer, 3);
	CHECK(toml_get(root, "absent") == NULL);
	CHECK(toml_get(NULL, "a") == NULL);
}

/* Each is refused, with the line to look at. */
static void test_errors_name_their_line(void)
{
	static const struct {
		const char *text;
		unsigned line;
	} bad[] = {
		{ "a = 1\nb = ", 2 },
		{ "a = 1 b = 2", 1 },
		{ "\n\n[a\n", 3 },
		{ "a = \"open\nb = 1", 1 },
		{ "a = 'x' 'y'", 1 },
		{ "a = \"\\q\"", 1 },
		{ "a = \"\\ud800\"", 1 },
		{ "a = \"\\u0000\"", 1 },
		{ "a = \"\xff\"", 1 },
		{ "a = \"\x01\"", 1 },
		{ "a = \"\"\"no end\n\n", 3 },
		{ "a = 01", 1 },
		{ "a = 1__0", 1 },
		{ "a = 1.", 1 },
		{ "a = .5", 1 },
		{ "a = 0x", 1 },
		{ "a = +0x1", 1 },
		{ "a = 9223372036854775808", 1 },
		{ "a = True", 1 },
		{ "a = 1979-13-01", 1 },
		{ "a = 25:00:00", 1 },
		{ "a = [1, 2", 1 },
		{ "a = [1 2]", 1 },
		{ "a = { b = 1, }", 1 },
		{ "a = { b = 1\n}", 1 },
		{ "a = 1\na = 2", 2 },
		{ "[a]\n[a]", 2 },
		{ "[a]\nb = 1\n[a.b]", 3 },
		{ "a = {}\n[a.b]", 2 },
		{ "a.b = 1\n[a]", 2 },
		{ "a = []\n[[a]]", 2 },
		{ "[[a]]\n[a]", 2 },
		{ "[a.b.c]\nz=9\n[a]\nb.c.t=1", 4 },
		{ "a = { b = 1 }\na.c = 2", 2 },
		{ "= 1", 1 },
		{ "a.= 1", 1 },
		{ "[]", 1 },
		{ "a\n", 1 },
		{ "[[a]\n", 1 },
		{ "a = 1\r b = 2", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!CHECK_EQ(error_line(bad[i].text), bad[i].line))
			printf("# case %zu: %s\n", i, bad[i].text);
}

static void test_bounds(void)
{
	cleanup_toml struct toml *toml = NULL;
	char deep[TOML_DEPTH_MAX * 2 + 16] = "a = ";

	memset(deep + 4, '[', TOML_DEPTH_MAX);
	memset(deep + 4 + TOML_DEPTH_MAX, ']', TOML_DEPTH_MAX);
	CHECK_EQ(parse(deep, &toml), 0);
	toml_free(take_ptr(toml));
	memset(deep + 4, '[', TOML_DEPTH_MAX + 1);
	CHECK_EQ(parse(deep, &toml), -E2BIG);
	CHECK(toml == NULL);
}

/* Whatever allocation fails: -ENOMEM, nothing returned, nothing leaked. */
static void test_memory_faults(void)
{
	for (int n = 1;; n++) {
		cleanup_toml struct toml *toml = NULL;
		int r;

		fault_arm("any", n, ENOMEM);
		r = parse("a = 'x'\n[b]\nc = [1, {d = 2}]\n", &toml);
		if (!fault_fired()) {
			CHECK_EQ(r, 0);
			break;
		}
		CHECK_EQ(r, -ENOMEM);
		CHECK(toml == NULL);
	}
}

int main(void)
{
	RUN(test_strings);
	RUN(test_integers);
	RUN(test_types_of_bare_values);
	RUN(test_tables);
	RUN(test_errors_name_their_line);
	RUN(test_bounds);
	RUN(test_memory_faults);
	return tap_done();
}
