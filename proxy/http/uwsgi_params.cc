#include "proxy/http/uwsgi_params.h"

#include "proxy/http/cgi_variables.h"

namespace sluice::http {
namespace {

constexpr size_t kMostBlock = 65535;
constexpr size_t kPacketHead = 4;

// pair(name, value) for those that are no fields.
template <typename Pair>
void visit_fixed(const CgiVariables& variables, std::string_view path_info, Pair pair) {
  variables.visit_fixed(pair);
  pair("PATH_INFO", path_info);
  pair("DOCUMENT_ROOT", "");
  // gunicorn would keep the connection otherwise, and the worker with it.
  pair("HTTP_CONNECTION", "close");
}

class Pen final : public CgiPen {
 public:
  using CgiPen::CgiPen;
  void put_size(size_t size) {
    put_byte(size);
    put_byte(size >> 8);
  }
};

UwsgiPacket measure(const CgiVariables& variables, std::string_view path_info) {
  UwsgiPacket packet;
  visit_fixed(variables, path_info, [&packet](std::string_view name, std::string_view value) {
    packet.size += 4 + name.size() + value.size();
    ++packet.pairs;
  });
  variables.visit_fields(
      [&packet](std::string_view name, size_t size) {
        packet.size += 4 + CgiVariables::kFieldPrefix.size() + name.size() + size;
        ++packet.pairs;
      },
      [](std::string_view) {});
  return packet;
}

}  // namespace

Result<UwsgiPacket> write_uwsgi_packet(const RequestHead& head, Chain& out) {
  const CgiVariables variables(head);
  const auto path_info = decode_path(head.target.substr(0, head.target.find('?')));
  if (!path_info) return fail(ErrorCode::kMalformed, Side::kClient, "path");
  const UwsgiPacket packet = measure(variables, *path_info);
  if (packet.size > kMostBlock) return fail(ErrorCode::kTooLarge, Side::kClient, "uwsgi block");

  Pen pen(out.prepare(kPacketHead + packet.size));
  pen.put_byte(0);  // modifier1: a WSGI request
  pen.put_size(packet.size);
  pen.put_byte(0);  // modifier2
  visit_fixed(variables, *path_info, [&pen](std::string_view name, std::string_view value) {
    pen.put_size(name.size());
    pen.put(name);
    pen.put_size(value.size());
    pen.put(value);
  });
  variables.visit_fields(
      [&pen](std::string_view name, size_t size) {
        pen.put_size(CgiVariables::kFieldPrefix.size() + name.size());
        pen.put_field_name(name);
        pen.put_size(size);
      },
      [&pen](std::string_view part) { pen.put(part); });
  out.commit(kPacketHead + packet.size);
  return packet;
}

}  // namespace sluice::http
