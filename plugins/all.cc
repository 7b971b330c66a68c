#include "plugins/all.h"

#include "plugins/compress/compress.h"
#include "plugins/headers/headers.h"
#include "plugins/ip_access/ip_access.h"

namespace sluice::plugins {

void register_all(filter::Registry& registry) {
  registry.add("headers", make_headers);
  registry.add("compress", make_compress);
  registry.add("ip_access", make_ip_access);
}

}  // namespace sluice::plugins
