#include "messenger/security_tools.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/narrow.h"
#include "base/status.h"
#include "security/certificates.h"
#include "security/fields.h"
#include "security/files.h"
#include "security/pem.h"
#include "security/rights.h"
#include "security/tokens.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

constexpr std::chrono::seconds kLongestLifetime =
    std::chrono::hours(24) * 36525;

absl::StatusOr<Tokens> ParseTokensOf(const std::string& path,
                                     const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return text.status();
  absl::StatusOr<Tokens> tokens = Tokens::Parse(*text);
  if (!tokens.ok()) return WithPath(tokens.status(), path);
  return tokens;
}

TokenInfo InfoOf(const Tokens::Token& token) {
  return {.id = token.id,
          .identity = token.identity,
          .created = token.created,
          .expires = token.expires};
}

absl::Status CheckLifetime(
    const std::optional<std::chrono::seconds>& lifetime) {
  if (!lifetime ||
      (*lifetime >= std::chrono::seconds(1) && *lifetime <= kLongestLifetime)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      fmt::format("lifetime: {} s; must be 1 to {}", lifetime->count(),
                  kLongestLifetime.count()));
}

absl::StatusOr<NewToken> TryAddToken(
    const std::string& path, std::string_view identity,
    const std::optional<std::chrono::seconds>& lifetime,
    const std::string& out_file) {
  absl::Status s = CheckIdentity(identity);
  if (s.ok()) s = CheckLifetime(lifetime);
  if (!s.ok()) return s;
  absl::StatusOr<LockedFile> file =
      LockedFile::Open(path, LockedFile::IfMissing::kCreate);
  if (!file.ok()) return file.status();
  absl::StatusOr<Tokens> tokens = ParseTokensOf(path, file->Read());
  if (!tokens.ok()) return tokens.status();

  absl::StatusOr<std::string> token = MakeToken();
  if (!token.ok()) return token.status();
  std::optional<PresentedToken> presented = ParseToken(*token);
  while (presented && tokens->Has(presented->id)) {
    token = MakeToken();
    if (!token.ok()) return token.status();
    presented = ParseToken(*token);
  }
  if (!presented) return absl::InternalError("OpenSSL has no SHA-256");

  // The file has whole seconds: it must not expire too early.
  const Timestamp now = std::chrono::system_clock::now();
  Tokens::Token added = {
      .id = presented->id,
      .identity = std::string(identity),
      .digest = presented->digest,
      .created = std::chrono::floor<std::chrono::seconds>(now)};
  if (lifetime) {
    added.expires = std::chrono::ceil<std::chrono::seconds>(now + *lifetime);
  }
  const TokenInfo info = InfoOf(added);
  tokens->Add(std::move(added));
  // First the secret: a token that nobody knows must not be valid.
  NewFiles out;
  if (!out_file.empty()) s = out.Create(out_file, 0600, *token + "\n");
  if (s.ok()) s = file->Replace(tokens->Serialize());
  if (s.ok() && !out_file.empty()) s = out.Keep(DirectoryOf(out_file));
  if (!s.ok()) return s;
  return NewToken{.info = info, .token = *std::move(token)};
}

absl::StatusOr<TokenInfo> TryRevokeToken(const std::string& path,
                                         std::string_view id) {
  if (const auto token = ParseToken(id)) {
    return absl::InvalidArgumentError(fmt::format(
        "id: this is a whole token, which is a secret; its id is {}",
        token->id));
  }
  if (!IsTokenId(id)) {
    return absl::InvalidArgumentError(
        fmt::format("id: {}; must be 8 of a-z 0-9", ShowValue(id)));
  }
  absl::StatusOr<LockedFile> file =
      LockedFile::Open(path, LockedFile::IfMissing::kFail);
  if (!file.ok()) return file.status();
  absl::StatusOr<Tokens> tokens = ParseTokensOf(path, file->Read());
  if (!tokens.ok()) return tokens.status();
  const auto found =
      std::find_if(tokens->all().begin(), tokens->all().end(),
                   [id](const Tokens::Token& token) { return token.id == id; });
  if (found == tokens->all().end()) {
    return absl::NotFoundError(
        fmt::format("{}: there is no token with the id {}", path, id));
  }
  TokenInfo info = InfoOf(*found);
  tokens->Remove(id);
  const absl::Status s = file->Replace(tokens->Serialize());
  if (!s.ok()) return s;
  return info;
}

absl::StatusOr<std::vector<TokenInfo>> TryListTokens(const std::string& path) {
  const absl::StatusOr<Tokens> tokens =
      ParseTokensOf(path, ReadSecurityFile(path));
  if (!tokens.ok()) return tokens.status();
  std::vector<TokenInfo> infos;
  infos.reserve(tokens->all().size());
  for (const Tokens::Token& token : tokens->all()) {
    infos.push_back(InfoOf(token));
  }
  return infos;
}

absl::StatusOr<std::vector<RightExplanation>> TryExplainRights(
    const std::string& path, std::string_view identity,
    std::string_view channel) {
  if (identity == kAnonymous) identity = {};
  if (!identity.empty()) {
    const absl::Status s = CheckIdentity(identity);
    if (!s.ok()) return s;
  }
  const absl::StatusOr<std::string_view> name =
      wire::ResolveChannelName(channel);
  if (!name.ok()) return name.status();
  const absl::StatusOr<std::string> text = ReadSecurityFile(path);
  if (!text.ok()) return text.status();
  const absl::StatusOr<Rights> rights = Rights::Parse(*text);
  if (!rights.ok()) return WithPath(rights.status(), path);
  std::vector<RightExplanation> explanations;
  for (const Right right : kAllRights) {
    RightExplanation explanation = {.right = std::string(ToString(right))};
    if (const Rights::Rule* const rule = rights->Find(identity, right, *name)) {
      explanation.allowed = true;
      explanation.line = Narrow<int>(rule->line);
      explanation.text = rule->text;
    }
    explanations.push_back(std::move(explanation));
  }
  return explanations;
}

constexpr mode_t kKeyMode = 0600;
constexpr mode_t kCertificateMode = 0644;

std::string FileIn(std::string_view directory, std::string_view name) {
  while (directory.ends_with('/')) directory.remove_suffix(1);
  return fmt::format("{}/{}", directory, name);
}

TlsFiles FilesIn(std::string_view directory) {
  return {.ca_certificate = FileIn(directory, "ca.pem"),
          .ca_key = FileIn(directory, "ca.key"),
          .server_certificate = FileIn(directory, "server.pem"),
          .server_key = FileIn(directory, "server.key"),
          .client_certificate = FileIn(directory, "client.pem"),
          .client_key = FileIn(directory, "client.key")};
}

// Without slashes behind it.
std::string DirectoryIn(const TlsFiles& files) {
  return files.ca_key.substr(
      0, std::max<std::size_t>(files.ca_key.find_last_of('/'), 1));
}

struct FileToMake {
  const std::string& path;
  mode_t mode;
  const std::string& contents;
};

absl::Status WriteFiles(const std::string& directory,
                        std::initializer_list<FileToMake> files) {
  constexpr mode_t kDirectoryMode = 0700;
  // Before anything is made: what is there may be in use.
  for (const FileToMake& file : files) {
    struct stat info = {};
    if (lstat(file.path.c_str(), &info) == 0) {
      return absl::AlreadyExistsError(fmt::format(
          "{}: is there already, and would be overwritten; nothing was made",
          file.path));
    }
  }
  NewFiles made;
  absl::Status s = made.CreateDirectory(directory, kDirectoryMode);
  for (const FileToMake& file : files) {
    if (s.ok()) s = made.Create(file.path, file.mode, file.contents);
  }
  if (s.ok()) s = made.Keep(directory);
  return s;
}

void Forget(CertificateAndKey* secret) {
  OPENSSL_cleanse(secret->key.data(), secret->key.size());
}

absl::StatusOr<TlsFiles> TryInitTls(const InitTlsOptions& options) {
  if (options.directory.empty()) {
    return absl::InvalidArgumentError("directory: is empty");
  }
  absl::StatusOr<Certificates> made = MakeCertificates(options);
  if (!made.ok()) return made.status();
  TlsFiles files = FilesIn(options.directory);
  const absl::Status s = WriteFiles(
      DirectoryIn(files),
      {{files.ca_certificate, kCertificateMode, made->ca.certificate},
       {files.ca_key, kKeyMode, made->ca.key},
       {files.server_certificate, kCertificateMode, made->server.certificate},
       {files.server_key, kKeyMode, made->server.key},
       {files.client_certificate, kCertificateMode, made->client.certificate},
       {files.client_key, kKeyMode, made->client.key}});
  for (CertificateAndKey* const one :
       {&made->ca, &made->server, &made->client}) {
    Forget(one);
  }
  if (!s.ok()) return s;
  return files;
}

// ---- A directory with a CA in it

absl::StatusOr<CertificateAndKey> ReadCa(const TlsFiles& files) {
  auto certificate = ReadSecurityFile(files.ca_certificate);
  if (!certificate.ok()) {
    return absl::IsNotFound(certificate.status())
               ? absl::NotFoundError(fmt::format(
                     "{}: there is no CA yet; messenger-server init-tls DIR "
                     "--name HOST makes one",
                     files.ca_certificate))
               : certificate.status();
  }
  auto key = ReadSecurityFile(files.ca_key);
  if (!key.ok()) {
    return absl::IsNotFound(key.status())
               ? absl::NotFoundError(
                     fmt::format("{}: without the key of the CA, there are no "
                                 "certificates by it; it may be kept elsewhere",
                                 files.ca_key))
               : key.status();
  }
  CertificateAndKey ca = {.certificate = *std::move(certificate),
                          .key = *std::move(key)};
  if (absl::Status s = CheckCa(ca); !s.ok()) {
    return WithPath(s,
                    fmt::format("{}, {}", files.ca_certificate, files.ca_key));
  }
  return ca;
}

absl::Status CheckFileName(std::string_view client) {
  const bool fits = client.find('/') == std::string_view::npos &&
                    !client.starts_with('.') && !client.starts_with('-') &&
                    client != "ca" && client != "server";
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "client: {} cannot be the name of its files; it must have no slash, "
      "begin with neither a dot nor a dash, and be neither ca nor server",
      ShowValue(client)));
}

absl::StatusOr<TlsPair> TryAddTlsClient(const TlsClientOptions& options) {
  if (options.directory.empty()) {
    return absl::InvalidArgumentError("directory: is empty");
  }
  if (absl::Status s = CheckFileName(options.client); !s.ok()) return s;
  const TlsFiles files = FilesIn(options.directory);
  absl::StatusOr<CertificateAndKey> ca = ReadCa(files);
  if (!ca.ok()) return ca.status();
  auto made = MakeClientCertificate(*ca, options.client, options.validity);
  Forget(&*ca);
  if (!made.ok()) return made.status();
  TlsPair pair = {
      .certificate = FileIn(options.directory, options.client + ".pem"),
      .key = FileIn(options.directory, options.client + ".key")};
  const absl::Status s =
      WriteFiles(DirectoryIn(files),
                 {{pair.certificate, kCertificateMode, made->certificate},
                  {pair.key, kKeyMode, made->key}});
  Forget(&*made);
  if (!s.ok()) return s;
  return pair;
}

absl::StatusOr<std::vector<std::string>> NamesInFile(const std::string& path) {
  const absl::StatusOr<std::string> pem = ReadSecurityFile(path);
  if (!pem.ok()) return pem.status();
  auto names = NamesIn(*pem);
  if (!names.ok()) return WithPath(names.status(), path);
  return names;
}

absl::Status ReplacePair(const TlsPair& pair, const CertificateAndKey& made) {
  auto key = LockedFile::Open(pair.key, LockedFile::IfMissing::kFail);
  if (!key.ok()) return key.status();
  auto certificate =
      LockedFile::Open(pair.certificate, LockedFile::IfMissing::kFail);
  if (!certificate.ok()) return certificate.status();
  absl::Status s = key->Prepare(made.key);
  if (s.ok()) s = certificate->Prepare(made.certificate);
  if (s.ok()) s = key->Commit();
  if (s.ok()) s = certificate->Commit();
  if (s.ok()) s = key->Sync();
  if (s.ok()) s = certificate->Sync();
  return s;
}

absl::StatusOr<TlsPair> TryRenewTls(const RenewTlsOptions& options) {
  if (options.directory.empty()) {
    return absl::InvalidArgumentError("directory: is empty");
  }
  const TlsFiles files = FilesIn(options.directory);
  absl::StatusOr<CertificateAndKey> ca = ReadCa(files);
  if (!ca.ok()) return ca.status();
  absl::StatusOr<std::vector<std::string>> names = options.names;
  if (names->empty()) names = NamesInFile(files.server_certificate);
  if (!names.ok()) return names.status();
  auto made = MakeServerCertificate(*ca, *names, options.validity);
  Forget(&*ca);
  if (!made.ok()) return made.status();
  TlsPair pair = {.certificate = files.server_certificate,
                  .key = files.server_key};
  const absl::Status s = ReplacePair(pair, *made);
  Forget(&*made);
  if (!s.ok()) return s;
  return pair;
}

// Errors quote paths and lines of files.
template <typename T>
absl::StatusOr<T> Told(absl::StatusOr<T> result) {
  if (!result.ok()) return MakePrintable(result.status());
  return result;
}

}  // namespace

absl::StatusOr<NewToken> AddToken(const std::string& tokens_file,
                                  std::string_view identity,
                                  std::optional<std::chrono::seconds> lifetime,
                                  const std::string& out_file) {
  return Told(TryAddToken(tokens_file, identity, lifetime, out_file));
}

absl::StatusOr<std::vector<TokenInfo>> ListTokens(
    const std::string& tokens_file) {
  return Told(TryListTokens(tokens_file));
}

absl::StatusOr<TokenInfo> RevokeToken(const std::string& tokens_file,
                                      std::string_view id) {
  return Told(TryRevokeToken(tokens_file, id));
}

absl::StatusOr<std::vector<RightExplanation>> ExplainRights(
    const std::string& rights_file, std::string_view identity,
    std::string_view channel) {
  return Told(TryExplainRights(rights_file, identity, channel));
}

absl::StatusOr<TlsFiles> InitTls(const InitTlsOptions& options) {
  return Told(TryInitTls(options));
}

absl::StatusOr<TlsPair> AddTlsClient(const TlsClientOptions& options) {
  return Told(TryAddTlsClient(options));
}

absl::StatusOr<TlsPair> RenewTls(const RenewTlsOptions& options) {
  return Told(TryRenewTls(options));
}

}  // namespace messenger
