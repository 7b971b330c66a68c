#include "proxy/net/tls_context.h"

#include <string>

#include "tests/unit/net/tls_rig.h"

using namespace sluice;
using namespace sluice::testing;
using Shake = net::TlsTransport::Shake;

namespace {

// Four certificates: two kinds for one name, a wildcard, and what nobody asks for.
struct Shop {
  Shop() {
    tls.certificates = {
        save(folder, "default", make_certificate({"default", "DNS:default.example"})),
        save(folder, "ec", make_certificate({"ec", "DNS:both.example"})),
        save(folder, "rsa", make_certificate({"rsa", "DNS:both.example", true})),
        save(folder, "star", make_certificate({"star", "DNS:*.wild.example,DNS:wild.example"}))};
  }
  std::string shown_to(const std::string& name, const char* signatures = nullptr) {
    TlsRig rig(context_of(tls), name);
    if (signatures != nullptr) SSL_set1_sigalgs_list(rig.client.ssl(), signatures);
    REQUIRE(rig.shake() == Shake::kDone);
    return rig.client.common_name();
  }
  Folder folder;
  config::Tls tls;
};

// A session a client has been given.
struct Ticket {
  static int keep(SSL* ssl, SSL_SESSION* session) {
    auto* kept = static_cast<Ticket*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    SSL_SESSION_free(kept->session);
    kept->session = session;
    return 1;
  }
  ~Ticket() { SSL_SESSION_free(session); }
  SSL_SESSION* session = nullptr;
};

// Whether a second connection resumes what a first one began.
bool resumes(const std::shared_ptr<const net::TlsContext>& first,
             const std::shared_ptr<const net::TlsContext>& second, int version) {
  Ticket ticket;
  {
    TlsRig rig(first, "default.example", version);
    SSL_CTX_set_app_data(rig.client.context(), &ticket);
    SSL_CTX_sess_set_new_cb(rig.client.context(), &Ticket::keep);
    REQUIRE(rig.shake() == Shake::kDone);
    CHECK_FALSE(rig.server->is_resumed());
    rig.client.hear();
    REQUIRE(ticket.session != nullptr);
  }
  TlsRig rig(second, "default.example", version);
  SSL_set_session(rig.client.ssl(), ticket.session);
  REQUIRE(rig.shake() == Shake::kDone);
  CHECK(rig.server->is_resumed() == (SSL_session_reused(rig.client.ssl()) == 1));
  return rig.server->is_resumed();
}

}  // namespace

TEST_CASE("tls_context: the name a client asks for finds its certificate") {
  Shop shop;
  CHECK(shop.shown_to("both.example") == "CN=ec");
  CHECK(shop.shown_to("BOTH.example.") == "CN=ec");
  CHECK(shop.shown_to("x.wild.example") == "CN=star");
  CHECK(shop.shown_to("wild.example") == "CN=star");
  CHECK(shop.shown_to("x.y.wild.example") == "CN=default");
  CHECK(shop.shown_to("nobody.example") == "CN=default");
  CHECK(shop.shown_to("") == "CN=default");
}

TEST_CASE("tls_context: of two kinds a client gets the one it can verify") {
  Shop shop;
  CHECK(shop.shown_to("both.example", "RSA-PSS+SHA256:RSA+SHA256") == "CN=rsa");
  CHECK(shop.shown_to("both.example", "ECDSA+SHA256") == "CN=ec");
}

TEST_CASE("tls_context: versions and suites are those of the intermediate profile") {
  Shop shop;
  TlsRig old(context_of(shop.tls), "", TLS1_1_VERSION);
  SSL_set_security_level(old.client.ssl(), 0);
  CHECK(old.shake() == Shake::kFailed);
  CHECK_FALSE(old.server->why().empty());
  TlsRig twelve(context_of(shop.tls), "", TLS1_2_VERSION);
  REQUIRE(twelve.shake() == Shake::kDone);
  CHECK_FALSE(twelve.server->is_version13());
  CHECK(std::string(SSL_get_cipher(twelve.client.ssl())).find("ECDHE-ECDSA-AES") == 0);
  TlsRig cbc(context_of(shop.tls), "", TLS1_2_VERSION);
  SSL_set_cipher_list(cbc.client.ssl(), "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA");
  CHECK(cbc.shake() == Shake::kFailed);
  shop.tls.min_version = config::TlsVersion::k13;
  TlsRig late(context_of(shop.tls), "", TLS1_2_VERSION);
  CHECK(late.shake() == Shake::kFailed);
  TlsRig thirteen(context_of(shop.tls));
  REQUIRE(thirteen.shake() == Shake::kDone);
  CHECK(thirteen.server->is_version13());
}

TEST_CASE("tls_context: the protocol is ours first, and nothing in common is said so") {
  Shop shop;
  const auto both = context_of(shop.tls, own_keys(), {"h2", "http/1.1"});
  const auto offering = [](TlsRig& rig, std::string_view wire) {
    SSL_set_alpn_protos(rig.client.ssl(), reinterpret_cast<const unsigned char*>(wire.data()),
                        static_cast<unsigned>(wire.size()));
    return rig.shake();
  };
  TlsRig rig(both);
  REQUIRE(offering(rig, "\x08http/1.1\x02h2") == Shake::kDone);
  CHECK(rig.server->protocol() == "h2");
  TlsRig plain(context_of(shop.tls));
  REQUIRE(offering(plain, "\x02h2\x08http/1.1") == Shake::kDone);
  CHECK(plain.server->protocol() == "http/1.1");
  TlsRig none(context_of(shop.tls));
  CHECK(offering(none, "\x03irc") == Shake::kFailed);
  TlsRig silent(context_of(shop.tls));
  REQUIRE(silent.shake() == Shake::kDone);
  CHECK(silent.server->protocol().empty());
}

TEST_CASE("tls_context: a ticket outlives a reload, one rotation, and not two") {
  Shop shop;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CAPTURE(version);
    const auto keys = own_keys();
    CHECK(resumes(context_of(shop.tls, keys), context_of(shop.tls, keys), version));
    CHECK_FALSE(resumes(context_of(shop.tls), context_of(shop.tls), version));
    Ticket ticket;
    TlsRig first(context_of(shop.tls, keys), "default.example", version);
    SSL_CTX_set_app_data(first.client.context(), &ticket);
    SSL_CTX_sess_set_new_cb(first.client.context(), &Ticket::keep);
    REQUIRE(first.shake() == Shake::kDone);
    first.client.hear();
    REQUIRE(ticket.session != nullptr);
    for (const bool still : {true, false}) {
      keys->rotate(steady_now());
      TlsRig next(context_of(shop.tls, keys), "default.example", version);
      SSL_set_session(next.client.ssl(), ticket.session);
      REQUIRE(next.shake() == Shake::kDone);
      CHECK(next.server->is_resumed() == still);
    }
  }
}

TEST_CASE("tls_context: two processes with the same file of keys resume each other's sessions") {
  Shop shop;
  for (const size_t size : {size_t{80}, size_t{48}}) {
    std::string bytes;
    for (size_t i = 0; i < size * 2; ++i) bytes += static_cast<char>(i * 7 + 1);
    const auto parsed = net::TicketKeys::parse(bytes);
    REQUIRE(parsed);
    CHECK(parsed->size() == 2);
    const auto here = std::make_shared<net::TicketKeys>();
    here->set(*parsed, steady_now());
    const auto there = std::make_shared<net::TicketKeys>();
    // The neighbour has a newer key already, ours second.
    const auto newer = net::TicketKeys::parse(std::string(size, 'n') + bytes);
    REQUIRE(newer);
    there->set(*newer, steady_now());
    CHECK(resumes(context_of(shop.tls, here), context_of(shop.tls, there), TLS1_3_VERSION));
    CHECK(resumes(context_of(shop.tls, here), context_of(shop.tls, there), TLS1_2_VERSION));
    CHECK_FALSE(resumes(context_of(shop.tls, there), context_of(shop.tls, here), TLS1_2_VERSION));
  }
}

TEST_CASE("tls_tickets: a file of another size is no file of keys") {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{47}, size_t{79}, size_t{81}}) {
    CAPTURE(size);
    CHECK_FALSE(net::TicketKeys::parse(std::string(size, 'x')));
  }
  CHECK(net::TicketKeys::parse(std::string(80 * 8, 'x')));
  CHECK_FALSE(net::TicketKeys::parse(std::string(80 * 9, 'x')));
}

TEST_CASE("tls_context: clients show a certificate where they are asked to") {
  Shop shop;
  const auto authority = make_certificate({"ca", "", false, true});
  const auto stranger = make_certificate({"other ca", "", false, true});
  write_pem(shop.folder / "ca.pem", authority);
  shop.tls.client_ca = shop.folder / "ca.pem";
  const auto with = [&shop](const MadeCertificate* shown, config::ClientCertificate asked) {
    shop.tls.client_certificate = asked;
    TlsRig rig(context_of(shop.tls));
    if (shown != nullptr) {
      SSL_use_certificate(rig.client.ssl(), shown->leaf.get());
      SSL_use_PrivateKey(rig.client.ssl(), shown->key.get());
    }
    const auto outcome = rig.shake();
    if (outcome != Shake::kDone) return std::string("refused");
    const auto facts = rig.server->client_certificate();
    return facts ? facts->subject : std::string("nobody");
  };
  using Asked = config::ClientCertificate;
  const auto good = make_certificate({"good"}, &authority);
  const auto bad = make_certificate({"bad"}, &stranger);
  const auto expired = make_certificate({"late", "", false, false, -1}, &authority);
  CHECK(with(&good, Asked::kOff) == "nobody");
  CHECK(with(&good, Asked::kOptional) == "CN=good");
  CHECK(with(nullptr, Asked::kOptional) == "nobody");
  CHECK(with(&bad, Asked::kOptional) == "refused");
  CHECK(with(&good, Asked::kRequired) == "CN=good");
  CHECK(with(nullptr, Asked::kRequired) == "refused");
  CHECK(with(&bad, Asked::kRequired) == "refused");
  CHECK(with(&expired, Asked::kRequired) == "refused");
}

TEST_CASE("tls_context: what was begun without a client's certificate is not resumed with one") {
  Shop shop;
  const auto keys = own_keys();
  const auto open = context_of(shop.tls, keys);
  write_pem(shop.folder / "ca.pem", make_certificate({"ca", "", false, true}));
  shop.tls.client_ca = shop.folder / "ca.pem";
  shop.tls.client_certificate = config::ClientCertificate::kOptional;
  CHECK_FALSE(resumes(open, context_of(shop.tls, keys), TLS1_3_VERSION));
}

TEST_CASE("tls_context: the first end of a name's certificates is told") {
  Folder folder;
  config::Tls tls;
  tls.certificates = {
      save(folder, "a", make_certificate({"a", "DNS:a.example", false, false, 20})),
      save(folder, "b", make_certificate({"b", "DNS:a.example", true, false, 10})),
      save(folder, "c", make_certificate({"c", "DNS:c.example", false, false, -3}))};
  const auto expiries = context_of(tls)->expiries();
  REQUIRE(expiries.size() == 2);
  CHECK(expiries.at("a.example") < wall_now() + std::chrono::hours(24 * 11));
  CHECK(expiries.at("c.example") < wall_now());
}
