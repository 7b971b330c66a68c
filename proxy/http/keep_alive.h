// Keep-alive of the kernel for connections on which nothing may be said for hours: tunnels.
// Otherwise nobody would notice that the other machine is gone, and routers on the way would
// forget it. Any thread.
#pragma once

namespace sluice::http {

// Nothing where the socket is no TCP.
void keep_alive(int descriptor);

}  // namespace sluice::http
