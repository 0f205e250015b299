/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TRANSFER_ENGINE_C_H
#define MC_TRANSFER_ENGINE_C_H

/*
 * The transfer engine for C and for languages that call C: the shim of Snowskin without its
 * TypeScript. One header for all of its functions; the details stand in those that it includes.
 *
 *   mc/engine.h  mc_engine_open, _listen, _local_name, _shutdown, _destroy, _stats
 *   mc/region.h  mc_region_register (memory of the engine or of the caller), _populate, _unregister
 *   mc/peer.h    mc_peer_open, mc_peer_close
 *   mc/op.h      mc_submit, mc_cancel, mc_wait, mc_poll, mc_wake
 *   mc/layout.h  mc_abi_version: compare it with MC_ABI_VERSION before anything else
 *   mc/fence.h, mc/rdma.h: keeping a writer out; queue pairs, whose numbers the caller carries
 *   mc/files.h   mc_files_measure, _add, _failure: segments that are files
 *   mc/tls.h     mc_tls_open, mc_tls_renew, mc_tls_take_report
 *
 * A minimal use: open an engine, register a published region and listen; tell the other side, by
 * whatever way there is, the host, the port and the region's remote_base. It opens a peer with the
 * first two, submits operations at the third, and polls for their completions.
 *
 * A process that only links this library is reached by Snowskin's and by Mooncake's engines, and
 * reaches them, over the TCP framing; but it has no name of its own: handshakes and the metadata
 * services (P2PHANDSHAKE, HTTP, etcd, Redis) are done in TypeScript (te.ts), or by the program.
 *
 * transfer_engine_c.h, with libtransfer_engine.so, has the names of the reference's header on top of
 * this one, and handshakes with them. Of the names in the published wheel's it lacks
 *
 *   - discovery and figures: discoverTopology, getNicLoadStats, showLinks, warmupEfaSegment
 *   - signals: enableGracefulShutdown
 *
 * Building: `deno run -A ffi/build.ts --install=DIR` puts the libraries into DIR/lib and the
 * headers into DIR/include. examples/c/two_engines.c is a whole program.
 */

#ifdef __cplusplus
#define _Static_assert static_assert
extern "C" {
#endif

#include "mc/engine.h"
#include "mc/fence.h"
#include "mc/files.h"
#include "mc/layout.h"
#include "mc/op.h"
#include "mc/peer.h"
#include "mc/rdma.h"
#include "mc/region.h"
#include "mc/tls.h"

#ifdef __cplusplus
}
#undef _Static_assert
#endif

#endif
