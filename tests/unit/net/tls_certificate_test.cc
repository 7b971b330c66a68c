#include "proxy/net/tls_certificate.h"

#include <string>

#include <openssl/ocsp.h>

#include "tests/unit/net/tls_rig.h"

using namespace sluice;
using namespace sluice::testing;

namespace {

// The faults of a pair of files, in one text.
std::string faults_of(const config::Certificate& files) {
  config::Faults faults;
  const auto read = net::read_certificate(files, "c[0]", faults);
  CHECK(read.has_value() == faults.empty());
  std::string all;
  for (const std::string& line : faults.lines()) all += line + "\n";
  return all;
}

std::string staple_for(const MadeCertificate& leaf, const MadeCertificate& authority,
                       bool about_another) {
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  X509* const about = about_another ? authority.leaf.get() : leaf.leaf.get();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), about, authority.leaf.get());
  ASN1_TIME* now = X509_gmtime_adj(nullptr, 0);
  ASN1_TIME* later = X509_gmtime_adj(nullptr, 3600);
  OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, now, later);
  OCSP_basic_sign(basic, authority.leaf.get(), authority.key.get(), EVP_sha256(), nullptr, 0);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  REQUIRE(size > 0);
  std::string text(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  OCSP_BASICRESP_free(basic);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(now);
  ASN1_TIME_free(later);
  return text;
}

}  // namespace

TEST_CASE("tls_certificate: a pair is read with its names and its end") {
  const Folder folder;
  const auto files =
      save(folder, "a", make_certificate({"one", "DNS:A.example,DNS:*.b.example,IP:192.0.2.1"}));
  config::Faults faults;
  const auto read = net::read_certificate(files, "c[0]", faults);
  REQUIRE(read);
  CHECK(read->names == std::vector<std::string>{"a.example", "*.b.example"});
  CHECK(read->label() == "a.example");
  CHECK(read->kind() == EVP_PKEY_EC);
  const auto left = read->expires - wall_now();
  CHECK(left > std::chrono::hours(24 * 29));
  CHECK(left < std::chrono::hours(24 * 31));
}

TEST_CASE("tls_certificate: without alternative names the common name counts") {
  const Folder folder;
  config::Faults faults;
  const auto read =
      net::read_certificate(save(folder, "a", make_certificate({"Old.example"})), "c", faults);
  REQUIRE(read);
  CHECK(read->names == std::vector<std::string>{"old.example"});
}

TEST_CASE("tls_certificate: what cannot be used says why, and both files are looked at") {
  const Folder folder;
  const auto one = make_certificate({"one"});
  auto files = save(folder, "a", one);
  const auto other = save(folder, "b", make_certificate({"two"}));
  config::Certificate mixed = files;
  mixed.key = other.key;
  CHECK(faults_of(mixed).find("t.yaml:3: c[0].key: \"" + other.key +
                              "\" does not match the certificate in") == 0);
  config::Certificate absent{folder / "no.pem", folder / "no.key", "", {"t.yaml", 9}};
  const std::string both = faults_of(absent);
  CHECK(both.find("t.yaml:9: c[0].cert: file not found \"") != std::string::npos);
  CHECK(both.find("t.yaml:9: c[0].key: file not found \"") != std::string::npos);
  write_text(folder / "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  CHECK(faults_of({folder / "junk", files.key, "", {}}).find("no certificate in PEM") !=
        std::string::npos);
  CHECK(faults_of({files.cert, folder / "junk", "", {}}).find("no private key in PEM") !=
        std::string::npos);
  write_key(folder / "locked", one, "secret");
  CHECK(faults_of({files.cert, folder / "locked", "", {}}).find("is encrypted") !=
        std::string::npos);
}

TEST_CASE("tls_certificate: an OCSP answer has to be one, and about this certificate") {
  const Folder folder;
  const auto authority = make_certificate({"ca", "", false, true});
  const auto leaf = make_certificate({"leaf", "DNS:a.example"}, &authority);
  auto files = save(folder, "a", leaf);
  files.ocsp = folder / "staple";
  CHECK(faults_of(files).find("c[0].ocsp: file not found") != std::string::npos);
  write_text(files.ocsp, "no DER");
  CHECK(faults_of(files).find("is no OCSP answer in DER") != std::string::npos);
  write_text(files.ocsp, staple_for(leaf, authority, true));
  CHECK(faults_of(files).find("about another certificate") != std::string::npos);
  const std::string der = staple_for(leaf, authority, false);
  write_text(files.ocsp, der);
  config::Faults faults;
  const auto read = net::read_certificate(files, "c", faults);
  REQUIRE(read);
  CHECK(read->staple == der);
  CHECK(read->staple_until > wall_now());
  CHECK(read->staple_until < wall_now() + std::chrono::hours(2));

  config::Tls tls;
  tls.certificates = {files};
  TlsRig rig(context_of(tls), "a.example");
  SSL_set_tlsext_status_type(rig.client.ssl(), TLSEXT_STATUSTYPE_ocsp);
  REQUIRE(rig.shake() == net::TlsTransport::Shake::kDone);
  const unsigned char* stapled = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(rig.client.ssl(), &stapled);
  REQUIRE(size == static_cast<long>(der.size()));
  CHECK(std::string(reinterpret_cast<const char*>(stapled), der.size()) == der);
}

TEST_CASE("tls_certificate: one made by ourselves is whole, quick, and ours alone") {
  const TimePoint began = steady_now();
  const auto one = net::make_self_signed();
  const auto two = net::make_self_signed();
  REQUIRE(one);
  REQUIRE(two);
  CHECK(steady_now() - began < std::chrono::seconds(1));  // two take a millisecond or so
  CHECK(X509_verify(one->leaf.get(), one->key.get()) == 1);
  CHECK(X509_cmp(one->leaf.get(), two->leaf.get()) != 0);
  CHECK(one->expires > wall_now() + std::chrono::hours(24 * 365));
}

TEST_CASE("tls_certificate: what a client's says is printable and bounded") {
  const auto made = make_certificate(
      {"a\"b, c\r\nX: y\xc3\xa9",
       "DNS:a.example,URI:spiffe://x/y%z,email:me@b.example,IP:192.0.2.1,IP:2001:db8::1"});
  const auto facts = net::facts_of(*made.leaf);
  CHECK(facts.subject.find("CN=a\\\"b\\, c") == 0);
  for (const char c : facts.subject + facts.names) {
    CHECK(c >= 0x20);
    CHECK(c < 0x7f);
  }
  CHECK(facts.names ==
        "DNS:a.example,URI:spiffe://x/y%25z,EMAIL:me@b.example,IP:192.0.2.1,IP:2001:db8::1");
  CHECK(facts.fingerprint.size() == 64);
  std::string many;
  for (int i = 0; i < 300; ++i)
    many += (i == 0 ? "DNS:" : ",DNS:") + std::to_string(i) + ".example";
  const auto cut = net::facts_of(*make_certificate({std::string(60, 'x'), many}).leaf);
  CHECK(cut.names.size() <= net::CertificateFacts::kMostNames);
  CHECK(cut.names.back() == 'e');  // an element is there whole or not at all
}
