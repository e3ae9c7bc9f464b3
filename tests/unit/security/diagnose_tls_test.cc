// Why a client has no connection by TLS (messenger/security_tools.h).
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/status.h"
#include "messenger/security_tools.h"
#include "messenger/server.h"
#include "support/certificates.h"
#include "support/printing.h"
#include "support/tcp_socket.h"
#include "support/temporary_directory.h"

namespace messenger::diagnose_tls_test {
namespace {

using test::CertificateFiles;
using test::CertificateRequest;
using test::Contains;
using test::IssuedCertificate;
using test::TcpListener;
using test::TestAuthority;

constexpr std::chrono::seconds kTimeout{10};
const std::vector<std::string> kNames = {"DNS:localhost", "IP:127.0.0.1",
                                         "IP:::1"};

std::string TargetOf(int port) {
  return fmt::format("127.0.0.1:{}", port);
}

// A CA, and servers with certificates of it.
struct Lab {
  Lab() { test::ReplaceFile(tls.ca_file, authority.certificate()); }

  std::unique_ptr<Server> Serve(const IssuedCertificate& issued,
                                const std::string& client_ca = "") const {
    const CertificateFiles files =
        test::WriteFiles(directory, "server", issued);
    ServerOptions options = {
        .listen = "127.0.0.1:0",
        .tls = ServerTls{.certificate_file = files.certificate,
                         .private_key_file = files.key,
                         .client_ca_file = client_ca}};
    return Server::Start(std::move(options)).value();
  }
  std::unique_ptr<Server> Serve(const CertificateRequest& request) const {
    return Serve(authority.Issue(request));
  }
  absl::Status Diagnose(const Server& server) const {
    return DiagnoseTls(TargetOf(server.port()), tls, kTimeout);
  }

  test::TemporaryDirectory directory;
  TestAuthority authority{"the CA"};
  ClientTls tls = {.ca_file = directory.path() + "/ca.pem"};
};

// A server of OpenSSL's, for one connection, that `set_up` makes as it likes.
class OneConnection {
 public:
  OneConnection(const IssuedCertificate& pair,
                const std::function<void(SSL_CTX*)>& set_up)
      : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    const auto reader = [](const std::string& pem) {
      return std::unique_ptr<BIO, decltype(&BIO_free_all)>(
          BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
          BIO_free_all);
    };
    X509* const certificate = PEM_read_bio_X509(reader(pair.certificate).get(),
                                                nullptr, nullptr, nullptr);
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(reader(pair.key).get(),
                                                  nullptr, nullptr, nullptr);
    SSL_CTX_set_security_level(context_.get(), 0);
    REQUIRE(SSL_CTX_use_certificate(context_.get(), certificate) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context_.get(), key) == 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    set_up(context_.get());
    thread_ = std::thread([this] {
      test::TcpSocket socket = listener_.Accept();
      const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(
          SSL_new(context_.get()), SSL_free);
      SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
      SSL_set_accept_state(ssl.get());
      // It writes less than a socket takes.
      for (bool open = true; open;) {
        ERR_clear_error();
        char byte = 0;
        const int result = SSL_read(ssl.get(), &byte, 1);
        const int error = SSL_get_error(ssl.get(), result);
        if (result > 0) ++application_bytes_;
        char* data = nullptr;
        const auto size = BIO_get_mem_data(SSL_get_wbio(ssl.get()), &data);
        socket.Send({data, static_cast<std::size_t>(size)});
        BIO_reset(SSL_get_wbio(ssl.get()));
        if (result <= 0 && error != SSL_ERROR_WANT_READ) break;
        if (result > 0) continue;
        const std::string heard = socket.Receive(1);
        BIO_write(SSL_get_rbio(ssl.get()), heard.data(),
                  static_cast<int>(heard.size()));
        open = !heard.empty();
      }
    });
  }
  ~OneConnection() { Await(); }
  OneConnection(const OneConnection&) = delete;
  OneConnection& operator=(const OneConnection&) = delete;

  int port() const { return listener_.port(); }
  // What came that was not TLS's own.
  int Await() {
    if (thread_.joinable()) thread_.join();
    return application_bytes_;
  }

 private:
  const TcpListener listener_;
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::atomic<int> application_bytes_ = 0;
  std::thread thread_;
};

TEST_CASE_FIXTURE(Lab,
                  "diagnose tls: of a server that is as it should be, "
                  "nothing is wrong") {
  const auto server = Serve({.names = kNames});
  CHECK(Diagnose(*server) == absl::OkStatus());
  // In other forms.
  for (const std::string target : {"dns:127.0.0.1:{}", "dns:///localhost:{}",
                                   "localhost:{}", "ipv4:127.0.0.1:{}"}) {
    CAPTURE(target);
    CHECK(DiagnoseTls(fmt::format(fmt::runtime(target), server->port()), tls,
                      kTimeout) == absl::OkStatus());
  }
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: an IPv6 literal is understood") {
  const CertificateFiles files =
      test::WriteFiles(directory, "server", authority.Issue({.names = kNames}));
  const auto server =
      Server::Start({.listen = "[::1]:0",
                     .tls = ServerTls{.certificate_file = files.certificate,
                                      .private_key_file = files.key}});
  if (!server.ok()) return;  // a machine without IPv6
  CHECK(DiagnoseTls(fmt::format("[::1]:{}", (*server)->port()), tls,
                    kTimeout) == absl::OkStatus());
  CHECK(DiagnoseTls(fmt::format("ipv6:[::1]:{}", (*server)->port()), tls,
                    kTimeout) == absl::OkStatus());
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: the wrong CA is named") {
  const TestAuthority other("some other CA");
  const auto server = Serve(other.Issue({.names = kNames}));
  const absl::Status s = Diagnose(*server);
  CHECK(absl::IsUnauthenticated(s));
  CHECK(MessageOf(s) ==
        "the server's certificate comes from no CA that is trusted here, but "
        "from \"CN=some other CA\"");
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a CA of the same name is another one") {
  const TestAuthority other("the CA");
  const auto server = Serve(other.Issue({.names = kNames}));
  CHECK(Contains(MessageOf(Diagnose(*server)),
                 "\"CN=the CA\" is one, but that one has another key"));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a certificate that has issued itself") {
  const auto server = Serve(test::SelfSigned({.names = kNames}));
  CHECK(Contains(MessageOf(Diagnose(*server)), "is self-signed"));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: dates are told") {
  const auto expired =
      Serve({.names = kNames, .valid_until = std::chrono::minutes(-10)});
  absl::Status s = Diagnose(*expired);
  CHECK(absl::IsUnauthenticated(s));
  CHECK(MessageOf(s).starts_with("the server's certificate has expired on 20"));
  const auto early =
      Serve({.names = kNames, .valid_from = std::chrono::minutes(10)});
  s = Diagnose(*early);
  CHECK(absl::IsUnauthenticated(s));
  CHECK(MessageOf(s).starts_with(
      "the server's certificate is not valid before 20"));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: wrong names are told") {
  const auto server = Serve({.names = {"DNS:log.example", "IP:192.0.2.1"}});
  CHECK(MessageOf(Diagnose(*server)) ==
        "the server's certificate is for log.example, 192.0.2.1, and not for "
        "127.0.0.1");
  tls.server_name = "log.example";
  CHECK(Diagnose(*server) == absl::OkStatus());
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a port without TLS") {
  const auto plain = Server::Start({.listen = "127.0.0.1:0"}).value();
  const absl::Status s = Diagnose(*plain);
  CHECK(absl::IsFailedPrecondition(s));
  CHECK(Contains(MessageOf(s), "it answers without TLS"));
}

TEST_CASE_FIXTURE(Lab,
                  "diagnose tls: a server that wants a client "
                  "certificate, and which one") {
  const auto server = Serve(authority.Issue({.names = kNames}), tls.ca_file);
  absl::Status s = Diagnose(*server);
  CHECK(absl::IsUnauthenticated(s));
  CHECK(Contains(MessageOf(s), "wants a client certificate"));
  const auto with = [&](const IssuedCertificate& issued) {
    const CertificateFiles files = test::WriteFiles(directory, "own", issued);
    tls.certificate_file = files.certificate;
    tls.private_key_file = files.key;
  };
  with(TestAuthority("no CA of theirs").Issue({.common_name = "ann"}));
  s = Diagnose(*server);
  CHECK(absl::IsUnauthenticated(s));
  CHECK(Contains(MessageOf(s), "does not accept the client certificate in " +
                                   tls.certificate_file));
  with(authority.Issue({.common_name = "ann"}));
  CHECK(Diagnose(*server) == absl::OkStatus());
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: an old version of TLS") {
  OneConnection server(authority.Issue({.names = kNames}),
                       [](SSL_CTX* context) {
                         SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
                       });
  const absl::Status s = DiagnoseTls(TargetOf(server.port()), tls, kTimeout);
  CHECK(absl::IsFailedPrecondition(s));
  CHECK(Contains(MessageOf(s), "nothing newer than TLS 1.1"));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a server of something else by TLS") {
  OneConnection server(authority.Issue({.names = kNames}), [](SSL_CTX*) {});
  const absl::Status s = DiagnoseTls(TargetOf(server.port()), tls, kTimeout);
  CHECK(absl::IsFailedPrecondition(s));
  CHECK(Contains(MessageOf(s), "but not HTTP/2"));
  CHECK(server.Await() == 0);
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: nothing is said but the handshake") {
  OneConnection server(
      authority.Issue({.names = kNames}), [](SSL_CTX* context) {
        SSL_CTX_set_alpn_select_cb(
            context,
            [](SSL*, const unsigned char** out, unsigned char* size,
               const unsigned char* offered, unsigned, void*) {
              *out = offered + 1;
              *size = *offered;
              return SSL_TLSEXT_ERR_OK;
            },
            nullptr);
      });
  CHECK(DiagnoseTls(TargetOf(server.port()), tls, kTimeout) ==
        absl::OkStatus());
  CHECK(server.Await() == 0);
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a silent port takes as long as it may") {
  const TcpListener silent;
  const auto start = std::chrono::steady_clock::now();
  const absl::Status s =
      DiagnoseTls(TargetOf(silent.port()), tls, std::chrono::milliseconds(200));
  const auto took = std::chrono::steady_clock::now() - start;
  CHECK(absl::IsDeadlineExceeded(s));
  CHECK(Contains(MessageOf(s), "does not answer a TLS handshake"));
  CHECK(took >= std::chrono::milliseconds(200));
  CHECK(took < std::chrono::seconds(5));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: a closed port, and one that hangs up") {
  int port = 0;
  {
    const TcpListener listener;
    port = listener.port();
    std::thread hanging_up([&] { listener.Accept().Receive(1); });
    const absl::Status s = DiagnoseTls(TargetOf(port), tls, kTimeout);
    hanging_up.join();
    CHECK(absl::IsUnavailable(s));
    CHECK(Contains(MessageOf(s), "closes the connection"));
  }
  const absl::Status s = DiagnoseTls(TargetOf(port), tls, kTimeout);
  CHECK(absl::IsUnavailable(s));
  CHECK(Contains(MessageOf(s), "refused"));
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: what there is nothing to try of") {
  for (const char* const target :
       {"unix:/nowhere", "unix-abstract:x", "dns://192.0.2.53/log.example"}) {
    CAPTURE(target);
    CHECK(DiagnoseTls(target, tls, kTimeout) == absl::OkStatus());
  }
}

TEST_CASE_FIXTURE(Lab, "diagnose tls: what is wrong with the options") {
  CHECK(absl::IsInvalidArgument(DiagnoseTls("a:b:c:d", tls, kTimeout)));
  CHECK(absl::IsInvalidArgument(
      DiagnoseTls("ipv4:127.0.0.1:1,127.0.0.1:2", tls, kTimeout)));
  tls.ca_file = directory.path() + "/missing";
  const absl::Status s = DiagnoseTls("localhost", tls, kTimeout);
  CHECK(absl::IsInvalidArgument(s));
  CHECK(Contains(MessageOf(s), "tls.ca_file: " + tls.ca_file));
}

}  // namespace
}  // namespace messenger::diagnose_tls_test
