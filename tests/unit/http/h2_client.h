// A client that is nghttp2 itself, for the tests of H2Server.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/http/server_rig.h"

namespace sluice::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

// A client session; what it says goes to `wire`, what was sent there it takes by pull().
struct H2Client {
  struct Answer {
    Fields head;
    std::vector<Fields> interims;
    Fields trailers;
    std::string body;
    bool is_final = false;  // its head is complete
    bool ended = false;
    bool closed = false;
    uint32_t reset = 0;
    std::string status() const { return head.empty() ? "" : head.front().second; }
    std::string get(std::string_view name) const {
      for (const auto& [n, v] : head) {
        if (n == name) return v;
      }
      return "";
    }
  };
  struct Upload {
    std::string bytes;
    bool ended = true;
    Fields trailers;
  };

  explicit H2Client(Wire& its_wire, bool manual_windows = false) : wire(its_wire) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_close);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, manual_windows ? 1 : 0);
    nghttp2_session_client_new2(&session, callbacks, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~H2Client() { nghttp2_session_del(session); }
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  int32_t request(std::string_view method, std::string_view path, const Fields& more = {},
                  Upload* upload = nullptr) {
    Fields fields{{":method", std::string(method)},
                  {":scheme", "http"},
                  {":authority", "a.example"},
                  {":path", std::string(path)}};
    fields.insert(fields.end(), more.begin(), more.end());
    const auto list = list_of(fields);
    nghttp2_data_provider provider{};
    provider.source.ptr = upload;
    provider.read_callback = &read_upload;
    return nghttp2_submit_request(session, nullptr, list.data(), list.size(),
                                  upload == nullptr ? nullptr : &provider, nullptr);
  }
  // What there is to say, said.
  void push() {
    const uint8_t* bytes = nullptr;
    std::string all;
    for (ssize_t n = 0; (n = nghttp2_session_mem_send(session, &bytes)) > 0;) {
      all.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
    }
    if (!all.empty()) wire.say(all);
  }
  void pull() {
    const std::string bytes = wire.take();
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    if (!bytes.empty()) fine = fine && nghttp2_session_mem_recv(session, data, bytes.size()) >= 0;
  }
  // Both ways, until nothing moves.
  void talk(ServerRig& rig) {
    for (int i = 0; i < 100; ++i) {
      push();
      rig.tick();
      if (wire.sent.empty() && nghttp2_session_want_write(session) == 0) break;
      pull();
    }
  }

  static std::vector<nghttp2_nv> list_of(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    const auto bytes = [](const std::string& text) {
      return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
    };
    for (const auto& [name, value] : fields) {
      list.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    return list;
  }
  static ssize_t read_upload(nghttp2_session* session, int32_t id, uint8_t* into, size_t room,
                             uint32_t* flags, nghttp2_data_source* source, void*) {
    Upload& upload = *static_cast<Upload*>(source->ptr);
    const size_t n = std::min(room, upload.bytes.size());
    if (n == 0 && !upload.ended) return NGHTTP2_ERR_DEFERRED;
    upload.bytes.copy(reinterpret_cast<char*>(into), n);
    upload.bytes.erase(0, n);
    if (!upload.ended || !upload.bytes.empty()) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!upload.trailers.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const auto list = list_of(upload.trailers);
      nghttp2_submit_trailer(session, id, list.data(), list.size());
    }
    return static_cast<ssize_t>(n);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) {
    Answer& answer = static_cast<H2Client*>(user)->answers[frame->hd.stream_id];
    std::string text(reinterpret_cast<const char*>(name), name_size);
    (answer.is_final ? answer.trailers : answer.head)
        .emplace_back(std::move(text),
                      std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Client& client = *static_cast<H2Client*>(user);
    Answer& answer = client.answers[frame->hd.stream_id];
    if (frame->hd.type == NGHTTP2_HEADERS) {
      answer.is_final = answer.status()[0] != '1';
      if (!answer.is_final) answer.interims.push_back(std::exchange(answer.head, {}));
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) answer.reset = frame->rst_stream.error_code + 1;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      client.goaways.emplace_back(frame->goaway.last_stream_id, frame->goaway.error_code);
    }
    const bool message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) answer.ended = true;
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size,
                     void* user) {
    static_cast<H2Client*>(user)->answers[id].body.append(reinterpret_cast<const char*>(data),
                                                          size);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* user) {
    static_cast<H2Client*>(user)->answers[id].closed = true;
    return 0;
  }

  Wire& wire;
  nghttp2_session* session = nullptr;
  std::map<int32_t, Answer> answers;
  std::vector<std::pair<int32_t, uint32_t>> goaways;  // last stream, code
  bool fine = true;
};

}  // namespace sluice::testing
