// compress: answers are compressed on their way to a client that asked for it, in bounded memory.
//
//   compress:                            # all with these defaults
//     codings:  [ zstd, br, gzip ]       # the order decides between equal q-values
//     min_size: 1KiB                     # smaller is left alone; an unknown length is large enough
//     types:    [ "text/*", … ]          # "a/b", "a/*", "*+json"; the usual ones: negotiation.cc
//     levels:   { gzip: 5, br: 4, zstd: 3 }
//
// What might have been compressed gets Vary: Accept-Encoding also when it was not. A strong ETag
// becomes weak, Accept-Ranges goes, the length is unknown beforehand. Answers to HEAD and 304 get
// the same head. Left alone: 206 and whatever has Content-Range, Content-Encoding, a digest, or
// Cache-Control: no-transform (of either side); text/event-stream unless listed by its full name.
// Each piece of an answer without a length is flushed at once: somebody may be waiting for it.
//
// Compressing what holds both a secret and the client's own input tells the secret by its size
// (BREACH, CVE-2013-3587); Django masks its CSRF tokens for that reason. So nothing is compressed
// unasked.
#pragma once

#include <memory>

#include "proxy/config/node.h"
#include "proxy/filter/filter.h"

namespace sluice::plugins {

std::unique_ptr<filter::FilterFactory> make_compress(const config::Node& settings,
                                                     config::Faults& faults);

}  // namespace sluice::plugins
