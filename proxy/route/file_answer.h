// FileAnswer: the answer of a file tree to one request: a head, and a body of file ranges, which
// the transport sends with sendfile. From a file that is open it decides conditions, ranges, and
// what the head says. Values; the worker's thread.
#pragma once

#include <string_view>

#include <sys/stat.h>

#include "proxy/base/chain.h"
#include "proxy/base/fd.h"
#include "proxy/http/message.h"

namespace sluice::route {

struct FileAnswer {
  // No file matches and the configuration names who gets the request then; head and body are empty.
  bool is_fallback = false;
  http::ResponseHead head;  // from status 400 up without a body: the exchange may give it one
  Chain body;               // as long as head.body says
};

// A regular file, open, and what is known of it.
struct OpenFile {
  Fd fd;
  struct stat status {};
};

// How it is presented.
struct Presentation {
  std::string_view mime_type;
  std::string_view encoding;       // Content-Encoding of a precompressed sibling; empty: none
  std::string_view cache_control;  // verbatim; empty: none
  bool varies = false;             // a sibling might be chosen: Vary: Accept-Encoding
};

// 200, 206, 304, 412 or 416 with all that belongs to it. `is_head`: the body is only declared.
FileAnswer answer_with_file(OpenFile file, const Presentation& how, const http::Headers& request,
                            bool is_head);

// An answer without a body.
FileAnswer bare_answer(int status);

}  // namespace sluice::route
