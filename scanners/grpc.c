#include "scanners/grpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <curl/curl.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"
#include "scanners/text.h"

#undef curl_easy_setopt
#undef curl_easy_getinfo
static __typeof__(curl_global_init) *sym_curl_global_init;
static __typeof__(curl_easy_init) *sym_curl_easy_init;
static __typeof__(curl_easy_setopt) *sym_curl_easy_setopt;
static __typeof__(curl_easy_perform) *sym_curl_easy_perform;
static __typeof__(curl_easy_getinfo) *sym_curl_easy_getinfo;
static __typeof__(curl_easy_cleanup) *sym_curl_easy_cleanup;
static __typeof__(curl_slist_append) *sym_curl_slist_append;
static __typeof__(curl_slist_free_all) *sym_curl_slist_free_all;

enum {
	FRAME_HEADER = 5,		/* flag byte, length in network order */
	ANSWER_MAX = 16 * 1024 * 1024,	/* containerd's own limit for a message */
	RESET_TRIES = 4,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_UNAVAILABLE = 14,
};

static int loaded;

static void load_once(void)
{
	static const struct dl_symbol symbols[] = {
		DL_SYMBOL(curl_global_init),  DL_SYMBOL(curl_easy_init),
		DL_SYMBOL(curl_easy_setopt),  DL_SYMBOL(curl_easy_perform),
		DL_SYMBOL(curl_easy_getinfo), DL_SYMBOL(curl_easy_cleanup),
		DL_SYMBOL(curl_slist_append), DL_SYMBOL(curl_slist_free_all),
	};

	loaded = dl_load("libcurl.so.4", symbols, ARRAY_SIZE(symbols));
	if (loaded < 0)
		loaded = dl_load("libcurl-gnutls.so.4", symbols, ARRAY_SIZE(symbols));
	if (loaded == 0 && sym_curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
		loaded = -ENOMEM;
}

static int load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, load_once);
	return loaded == -ENOMEM ? -ENOMEM : loaded < 0 ? -ELIBACC : 0;
}

struct answer {
	uint8_t *data;
	size_t size;
	int status; /* grpc-status, -1 before it was seen */
	bool recovering;
};

static size_t take_body(char *data, size_t one, size_t size, void *to)
{
	struct answer *answer = to;
	uint8_t *bigger;

	(void)one; /* always 1 */
	if (answer->size + size > ANSWER_MAX)
		return 0;
	bigger = realloc(answer->data, answer->size + size);
	if (!bigger)
		return 0;
	memcpy(bigger + answer->size, data, size);
	answer->data = bigger;
	answer->size += size;
	return size;
}

/* Called for headers and trailers alike; a line may lack its NUL. */
static size_t take_header(char *data, size_t one, size_t size, void *to)
{
	static const char status[] = "grpc-status:", message[] = "grpc-message:";
	static const char not_yet[] = "server is not initialized yet";
	struct answer *answer = to;
	char line[64];

	(void)one;
	if (size > strlen(status) && strncasecmp(data, status, strlen(status)) == 0) {
		(void)snprintf(line, sizeof(line), "%.*s", (int)size, data);
		answer->status = (int)strtol(line + strlen(status), NULL, 10);
	}
	if (size > strlen(message) && strncasecmp(data, message, strlen(message)) == 0)
		answer->recovering = memmem(data, size, not_yet, strlen(not_yet)) != NULL;
	return size;
}

static int transport_error(CURL *curl, CURLcode code)
{
	long os_error = 0;

	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_HTTP2_STREAM:
		return -ECONNRESET;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_COULDNT_CONNECT:
		(void)sym_curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
		return os_error > 0 ? -(int)os_error : -ECONNREFUSED;
	default:
		return -EPROTO;
	}
}

static int grpc_error(const struct answer *answer)
{
	if (answer->recovering)
		return -EAGAIN;
	switch (answer->status) {
	case 0:
		return 0;
	case GRPC_DEADLINE_EXCEEDED:
		return -ETIMEDOUT;
	case GRPC_UNIMPLEMENTED:
		return -EOPNOTSUPP;
	case GRPC_UNAVAILABLE:
		return -EAGAIN;
	default:
		return -EPROTO;
	}
}

/* One message, not compressed, is what a unary call returns. */
static int unframe(struct answer *answer, uint8_t **ret, size_t *ret_size)
{
	uint32_t size;

	if (answer->size < FRAME_HEADER || answer->data[0] != 0)
		return -EPROTO;
	memcpy(&size, answer->data + 1, sizeof(size));
	size = ntohl(size);
	if (size != answer->size - FRAME_HEADER)
		return -EPROTO;
	memmove(answer->data, answer->data + FRAME_HEADER, size);
	*ret = take_ptr(answer->data);
	*ret_size = size;
	return 0;
}

static int prepare(CURL *curl, const char *socket_path, const char *url, struct curl_slist *headers,
		   unsigned budget_msec, struct answer *answer)
{
	__typeof__(curl_easy_setopt) *set = sym_curl_easy_setopt;

	if (set(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path) != CURLE_OK ||
	    set(curl, CURLOPT_URL, url) != CURLE_OK ||
	    set(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE) != CURLE_OK ||
	    set(curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
	    set(curl, CURLOPT_TIMEOUT_MS, (long)budget_msec) != CURLE_OK ||
	    set(curl, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK ||
	    set(curl, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
	    set(curl, CURLOPT_PROXY, "") != CURLE_OK ||
	    set(curl, CURLOPT_WRITEFUNCTION, take_body) != CURLE_OK ||
	    set(curl, CURLOPT_WRITEDATA, answer) != CURLE_OK ||
	    set(curl, CURLOPT_HEADERFUNCTION, take_header) != CURLE_OK ||
	    set(curl, CURLOPT_HEADERDATA, answer) != CURLE_OK)
		return -ENOTSUP; /* a libcurl without HTTP/2 */
	return 0;
}

static int perform(CURL *curl, const uint8_t *body, size_t size)
{
	__typeof__(curl_easy_setopt) *set = sym_curl_easy_setopt;

	if (set(curl, CURLOPT_POST, 1L) != CURLE_OK ||
	    set(curl, CURLOPT_POSTFIELDS, body) != CURLE_OK ||
	    set(curl, CURLOPT_POSTFIELDSIZE, (long)size) != CURLE_OK)
		return -ENOTSUP;
	return transport_error(curl, sym_curl_easy_perform(curl));
}

/* Without a message, so that the request ends with its headers. */
static int perform_bare(CURL *curl)
{
	__typeof__(curl_easy_setopt) *set = sym_curl_easy_setopt;

	if (set(curl, CURLOPT_HTTPGET, 1L) != CURLE_OK ||
	    set(curl, CURLOPT_CUSTOMREQUEST, "POST") != CURLE_OK)
		return -ENOTSUP;
	return transport_error(curl, sym_curl_easy_perform(curl));
}

static void forget(struct answer *answer)
{
	free(answer->data);
	*answer = (struct answer){ .status = -1 };
}

/*
 * grpc-go refuses an unknown method as soon as it has the headers, and resets
 * the stream behind its status if the message is not there by then. libcurl drops
 * the status where it reads both at once, which on a busy machine it always does.
 * A request that ends with its headers is refused without a reset; a method that
 * is known calls it an error of another kind. What only asks can ask again.
 */
static int ask(CURL *curl, const uint8_t *body, size_t size, struct answer *answer)
{
	int r = perform(curl, body, size);

	for (int i = 0; i < RESET_TRIES && r == -ECONNRESET && answer->status < 0 && answer->size == 0;
	     i++) {
		r = perform_bare(curl);
		if (answer->status == GRPC_UNIMPLEMENTED || (r < 0 && r != -ECONNRESET))
			return r;
		forget(answer);
		r = perform(curl, body, size);
	}
	return r;
}

static struct curl_slist *make_headers(const char *ns)
{
	cleanup_free char *namespaces = ns ? text_print("containerd-namespace: %s", ns) : NULL;
	const char *const lines[] = { "Content-Type: application/grpc", "TE: trailers", "Expect:",
				      "Accept:", namespaces };
	struct curl_slist *headers = NULL;

	if (ns && !namespaces)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(lines) && lines[i]; i++) {
		struct curl_slist *longer = sym_curl_slist_append(headers, lines[i]);

		if (!longer) {
			sym_curl_slist_free_all(headers);
			return NULL;
		}
		headers = longer;
	}
	return headers;
}

int grpc_call(const char *address, const char *method, const char *ns, const uint8_t *request,
	      size_t size, unsigned budget_msec, uint8_t **ret, size_t *ret_size)
{
	static const char scheme[] = "unix://";
	cleanup_free uint8_t *body = NULL, *received = NULL;
	cleanup_free char *url = NULL;
	struct answer answer = { .status = -1 };
	struct curl_slist *headers;
	uint32_t length = htonl((uint32_t)size);
	CURL *curl;
	int r;

	r = load();
	if (r < 0)
		return r;
	if (strncmp(address, scheme, strlen(scheme)) == 0)
		address += strlen(scheme);
	body = malloc(FRAME_HEADER + size);
	if (!body || asprintf(&url, "http://localhost%s", method) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	body[0] = 0;
	memcpy(body + 1, &length, sizeof(length));
	if (size > 0)
		memcpy(body + FRAME_HEADER, request, size);

	headers = make_headers(ns);
	curl = sym_curl_easy_init();
	r = headers && curl ? prepare(curl, address, url, headers, budget_msec, &answer) : -ENOMEM;
	if (r == 0)
		r = ask(curl, body, FRAME_HEADER + size, &answer);
	if (r == -ECONNRESET)
		r = -EPROTO;
	sym_curl_easy_cleanup(curl);
	sym_curl_slist_free_all(headers);
	received = answer.data;
	/* A server that refuses a call resets its stream behind the status. */
	if (r == 0 || answer.status > 0)
		r = grpc_error(&answer);
	if (r == 0) {
		r = unframe(&answer, ret, ret_size);
		if (r == 0)
			received = NULL;
	}
	return r;
}
