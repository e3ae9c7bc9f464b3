// What an operator does before a server is safe on a network: certificates to
// begin with, tokens, and a look at what the rights are. messenger-server has
// the same as commands. And why a client cannot connect by TLS. See
// messenger/security.h for what uses the files.
//
// Thread safety: the functions may be called from any thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"
#include "messenger/security.h"

namespace messenger {

// A token, without its secret.
struct TokenInfo {
  // By which it is listed and revoked; no secret.
  std::string id = {};
  // Whom it stands for.
  std::string identity = {};
  Timestamp created = {};
  // Nothing: never.
  std::optional<Timestamp> expires = std::nullopt;

  friend bool operator==(const TokenInfo&, const TokenInfo&) = default;
};

// A token that was made just now. `token` is the secret that a client sends: it
// is kept nowhere.
struct NewToken {
  TokenInfo info = {};
  std::string token = {};
};

// These change the file as a whole (it is written beside, synced, and renamed),
// one at a time; a server that uses it notices within a second. A file that is
// new gets the mode 0600; another one keeps its mode and owner, but none of the
// comments that somebody has put into it. They block.
//
// INVALID_ARGUMENT names a field that is out of bounds, or the line of a file
// that is malformed or has more than 16 MiB; other errors are those of the file
// system: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED for a full disk,
// INTERNAL. None of them shows a token's secret.

// Makes a token for `identity`: 1 to 256 bytes of UTF-8 without control
// characters and double quotes, and neither "*" nor "anonymous". It expires
// after `lifetime`, a second to 100 years; without one, never. Creates the file
// if need be. `out_file`, if it is not empty, gets the token, with the mode
// 0600; ALREADY_EXISTS if something is there, and then there is no token.
absl::StatusOr<NewToken> AddToken(const std::string& tokens_file,
                                  std::string_view identity,
                                  std::optional<std::chrono::seconds> lifetime,
                                  const std::string& out_file = {});

// In the order in which they were made.
absl::StatusOr<std::vector<TokenInfo>> ListTokens(
    const std::string& tokens_file);

// Returns what was revoked. NOT_FOUND if there is no token with this id.
absl::StatusOr<TokenInfo> RevokeToken(const std::string& tokens_file,
                                      std::string_view id);

// Whether a right is there, and which line of the file says so.
struct RightExplanation {
  // "send", "read", "admin", "send-as".
  std::string right = {};
  bool allowed = false;
  // The first line that allows it, from 1 on, and its text; 0 if none does.
  int line = 0;
  std::string text = {};

  friend bool operator==(const RightExplanation&,
                         const RightExplanation&) = default;
};

// All rights of `identity` in `channel`. An empty identity, or "anonymous", is
// that of callers who have none. Blocks. INVALID_ARGUMENT names the line of a
// file that is malformed, or what is asked for; other errors are those of the
// file system.
absl::StatusOr<std::vector<RightExplanation>> ExplainRights(
    const std::string& rights_file, std::string_view identity,
    std::string_view channel);

// What InitTls makes.
struct InitTlsOptions {
  // Created if need be, with mode 0700, but not the one that it is in. Nothing
  // in it is overwritten.
  std::string directory = {};
  // The names and IP addresses by which clients reach the server; at least one.
  // "*.example.org" is each host right below example.org.
  std::vector<std::string> names = {};
  // The identity of the client certificate, of at most 64 characters.
  std::string client = "client";
  // How long the certificates of server and client hold, and that of the CA,
  // which must not end first: an hour to 100 years.
  std::chrono::hours validity = std::chrono::hours(24) * 365;
  std::chrono::hours ca_validity = std::chrono::hours(24) * 3650;
};

// Where they are: PEM files, keys with mode 0600, certificates with 0644.
struct TlsFiles {
  std::string ca_certificate = {};      // ca.pem
  std::string ca_key = {};              // ca.key
  std::string server_certificate = {};  // server.pem
  std::string server_key = {};          // server.key
  std::string client_certificate = {};  // client.pem
  std::string client_key = {};          // client.key
};

// Makes a small CA, a certificate for a server and one for a client, with keys
// on the curve P-256. If it fails, nothing is left of it. Blocks.
//
// INVALID_ARGUMENT names an option that is out of bounds. ALREADY_EXISTS names
// a file that is there. Other errors are those of the file system.
absl::StatusOr<TlsFiles> InitTls(const InitTlsOptions& options);

// A certificate and its key, as PEM files: as in TlsFiles.
struct TlsPair {
  std::string certificate = {};
  std::string key = {};
};

// What AddTlsClient makes.
struct TlsClientOptions {
  // One that InitTls has made, or with another CA in it: ca.pem and ca.key.
  std::string directory = {};
  // The identity, of at most 64 characters, and what its files are called:
  // CLIENT.pem, CLIENT.key. So it has no slash in it, does not begin with a dot
  // or a dash, and is neither "ca" nor "server".
  std::string client = {};
  // How long it holds: an hour or more, and not longer than the CA.
  std::chrono::hours validity = std::chrono::hours(24) * 365;
};

// Makes a certificate for another client, by the CA that is there. If it fails,
// nothing is left of it. Blocks.
//
// INVALID_ARGUMENT names an option that is out of bounds, or says what is wrong
// with the CA; NOT_FOUND: there is none. FAILED_PRECONDITION: it has expired.
// ALREADY_EXISTS names a file that is there. Other errors are those of the file
// system.
absl::StatusOr<TlsPair> AddTlsClient(const TlsClientOptions& options);

// What RenewTls makes.
struct RenewTlsOptions {
  // As for AddTlsClient, with server.pem and server.key in it.
  std::string directory = {};
  // As for InitTls. Empty: those of the certificate that is there.
  std::vector<std::string> names = {};
  std::chrono::hours validity = std::chrono::hours(24) * 365;
};

// Replaces the server's certificate and its key by new ones of the CA that is
// there; mode and owner of the files stay. Each of the two is replaced as a
// whole, one right after the other, once both are written. A server that uses
// them does not take one that does not fit the other: it goes on with what it
// has until both are new. If the machine stops just in between, they do not fit
// until this is done again. Blocks. Errors as of AddTlsClient.
absl::StatusOr<TlsPair> RenewTls(const RenewTlsOptions& options);

// Why a client with these options has no connection by TLS: the reason
// HANDSHAKE_FAILED (messenger/error.h) says little more. Connects to `target`,
// as ClientOptions takes it, makes a handshake, and closes. It sends neither a
// token nor anything else than the handshake, which has the client's
// certificate in it. Blocks for `timeout` at most; if a name takes longer to be
// looked up, a thread is left behind that ends when it is.
//
// OK: nothing is wrong with it, or there is nothing to try: a Unix socket, or a
// name that another name server knows (dns://SERVER/…). Else the message says
// what is wrong:
//
//   UNAUTHENTICATED      the server's certificate (its dates, its CA, its
//                        names), or that it wants one of the client, or does
//                        not accept this one
//   FAILED_PRECONDITION  it speaks no TLS, an old one, or something else by it
//   UNAVAILABLE          nothing listens there, or it hangs up
//   DEADLINE_EXCEEDED    nothing answers
//   INVALID_ARGUMENT     the target, or a file of `tls`
absl::Status DiagnoseTls(std::string_view target, const ClientTls& tls,
                         std::chrono::milliseconds timeout);

}  // namespace messenger
