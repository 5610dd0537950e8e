/*
 * One unary gRPC call over a unix socket, with libcurl (opened when first
 * needed). The error codes are those of scanners/cri.h.
 */
#ifndef SCANNERS_GRPC_H
#define SCANNERS_GRPC_H

#include <stddef.h>
#include <stdint.h>

/*
 * Call @method ("/runtime.v1.RuntimeService/Version") with the encoded message
 * @request of @size bytes, in containerd's namespace @ns (NULL: CRI needs none).
 *
 * Returns 0 with the encoded answer in @ret, the caller's to free(), of
 * @ret_size bytes; or a negative errno with both untouched.
 */
int grpc_call(const char *address, const char *method, const char *ns, const uint8_t *request,
	      size_t size, unsigned budget_msec, uint8_t **ret, size_t *ret_size);

#endif
