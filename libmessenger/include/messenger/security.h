// How servers and clients prove who they are, and who may do what.
// docs/security.md says what this defends against, and how to set it up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace messenger {

// What a server wants of a client's certificate.
enum class ClientCertificates : std::uint8_t {
  kRequired,  // without one that is valid there is no connection
  kOptional,  // whoever has none may have a token, or stay without identity
};

// The encryption of a server: TLS 1.2 or newer. The files hold PEM. They are
// looked at several times a second: when they change, connections that come
// from then on get what is new, and those that there are go on. While what is
// new cannot be used, the old is, and a notice says why; what could not be read
// is tried again.
struct ServerTls {
  // The server's certificate, followed by those that lead from it to a CA.
  std::string certificate_file = {};
  // Its key, not encrypted.
  std::string private_key_file = {};
  // The CAs whose certificates identify clients. Empty: no client is asked for
  // a certificate.
  std::string client_ca_file = {};
  ClientCertificates client_certificates = ClientCertificates::kRequired;
};

// Over which connections a service is used. Calls of the process itself
// (LocalClient) and health checks always are.
enum class Transport : std::uint8_t {
  // Encrypted ones, and those of this machine: of its loopback, and of Unix
  // sockets. Behind a proxy on this machine, every stranger is one of these.
  kLocalOrEncrypted,
  kEncrypted,
  // Any: whoever reaches the port, and whoever listens on the line.
  kAny,
};

// Who may use a service, and for what.
//
// A caller's *identity* is the one of the bearer token that comes with the call
// ("authorization: Bearer TOKEN"), else that of its connection, as gRPC knows
// it: of a client certificate the first subject alternative name, else the
// common name. A caller without one is *anonymous*. So is, whatever it brings,
// every caller while there are neither tokens nor rights, nor `identify`.
//
// With identities, who may do what is said by the rights; without a rights
// file, whoever has an identity may send, read and administrate, and anonymous
// callers may not. The author of a message is the identity of who sends it: an
// empty one becomes that, and another one is PERMISSION_DENIED without the
// right to send as others. What the process itself calls is allowed.
//
// The files are looked at several times a second. When they change, or a token
// expires, live streams are checked again: one whose caller may not have it any
// more ends within a second. While a file cannot be used, what it said last is,
// and a notice says why; one that could not be read is tried again.
struct AccessOptions {
  // The tokens that the service knows (see messenger/security_tools.h, and
  // messenger-server token). Empty: none.
  std::string tokens_file = {};
  // Identities, rights and channels, a line each. Empty: see above.
  std::string rights_file = {};
  // Callers have the identities of their connections although there are no
  // files. Server sets it if it asks for client certificates.
  bool identify = false;
  // Server makes it kEncrypted if it has TLS and this is kLocalOrEncrypted.
  Transport transport = Transport::kLocalOrEncrypted;
  // Told what an operator should know: who was refused, once for each peer, and
  // what is wrong with a file. Called by threads of the service; must not
  // block, nor call it. Default: nobody is told; of a Server, its on_notice.
  std::function<void(std::string_view)> on_notice = nullptr;
};

// The encryption of a client's connections: TLS 1.2 or newer. The files hold
// PEM; they are read for each new connection.
struct ClientTls {
  // The CAs that a server's certificate may come from. Empty: those of the
  // system.
  std::string ca_file = {};
  // The client's own certificate, with those that lead to a CA, and its key.
  // Both or none.
  std::string certificate_file = {};
  std::string private_key_file = {};
  // The name, or the IP address, that must be in the server's certificate.
  // Empty: the target's host.
  std::string server_name = {};
};

}  // namespace messenger
