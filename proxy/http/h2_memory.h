// Where nghttp2's memory comes from: it asks for a few small pieces with every stream and frame,
// and gives them back. Each thread keeps some of a size for the next, instead of asking malloc.
// What a session has was asked for on its thread and is given back there.
#pragma once

#include <nghttp2/nghttp2.h>

namespace sluice::http {

// For nghttp2_session_server_new3, which copies it.
nghttp2_mem* h2_memory();

}  // namespace sluice::http
