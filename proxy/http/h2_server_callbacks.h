// The C callbacks of an H2Server's nghttp2 session. Only h2_server*.cc may see this.
#pragma once

#include <nghttp2/nghttp2.h>

#include "proxy/http/h2_server.h"

namespace sluice::http {

struct H2Server::Callbacks {
  // What the PING carries whose ack shows that the client has read the GOAWAY before it.
  static constexpr uint8_t kFarewellPing[8] = {'f', 'a', 'r', 'e', 'w', 'e', 'l', 'l'};
  static constexpr size_t kDribble = 256;  // of DATA, cut by a window
  static constexpr int kFailed = NGHTTP2_ERR_CALLBACK_FAILURE;

  // The same for all sessions; they copy it.
  static const nghttp2_session_callbacks* make();

  static H2Server& of(void* user) { return *static_cast<H2Server*>(user); }
  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd*, void*) noexcept;
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
  static int on_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*, nghttp2_rcbuf*,
                       uint8_t, void*) noexcept;
  static int on_invalid_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*,
                               nghttp2_rcbuf*, uint8_t, void*) noexcept;
  static int on_new_stream(H2Server& server, const nghttp2_frame_hd& hd);
  static int on_frame_recv(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
  static int on_control(H2Server& server, const nghttp2_frame& frame);
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void*) noexcept;
  static int on_data_chunk(nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t,
                           void*) noexcept;
  static int on_frame_send(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
  static int on_stream_close(nghttp2_session*, int32_t, uint32_t, void*) noexcept;
  static ssize_t read_data(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                           nghttp2_data_source*, void*) noexcept;
  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t,
                       nghttp2_data_source*, void*) noexcept;
};

}  // namespace sluice::http
