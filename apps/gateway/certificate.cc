#include "apps/gateway/certificate.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <fstream>
#include <system_error>
#include <utility>

#include "apps/common/status_text.h"

namespace messenger::app {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr std::chrono::milliseconds kInterval{200};
constexpr std::size_t kMostBytes = std::size_t{1} << 20;

// A certificate that ends so soon should be replaced.
constexpr int kSoonDays = 14;

// Of TLS 1.2: with forward secrecy, and authenticated encryption.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

absl::Status WrongFile(std::string_view option, const std::string& file,
                       std::string_view what) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}: {}", option, file, what));
}

absl::StatusOr<std::string> ReadPem(std::string_view option,
                                    const std::string& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string contents(kMostBytes + 1, '\0');
  in.read(contents.data(), static_cast<std::streamsize>(contents.size()));
  if (in.bad() || (in.gcount() == 0 && errno != 0)) {
    return WrongFile(option, file, std::generic_category().message(errno));
  }
  contents.resize(static_cast<std::size_t>(in.gcount()));
  if (contents.size() > kMostBytes) {
    return WrongFile(option, file, "has more than 1 MiB");
  }
  return contents;
}

// What is to be told of the end of its certificate: nothing if there is time,
// and something else each day if not.
std::string ExpiryOf(ssl::context& context) {
  const X509* const certificate =
      SSL_CTX_get0_certificate(context.native_handle());
  const ASN1_TIME* const end = X509_get0_notAfter(certificate);
  int days = 0;
  int seconds = 0;
  std::tm date{};
  if (ASN1_TIME_diff(&days, &seconds, nullptr, end) != 1 ||
      ASN1_TIME_to_tm(end, &date) != 1 || days >= kSoonDays) {
    return {};
  }
  constexpr int kFirstYear = 1900;
  const std::string day =
      fmt::format("{:04}-{:02}-{:02}", kFirstYear + date.tm_year,
                  date.tm_mon + 1, date.tm_mday);
  if (days < 0 || seconds < 0) {
    return fmt::format("has expired on {} (days ago: {})", day, -days);
  }
  // Rounded up: it is not another one a moment after the certificate was made.
  const int left = days + (seconds > 0 ? 1 : 0);
  return fmt::format("expires on {} (days left: {})", day, left);
}

}  // namespace

absl::StatusOr<std::shared_ptr<ssl::context>> MakeTlsContext(
    const CertificateFiles& files) {
  constexpr std::string_view kCertificate = "--https-cert";
  constexpr std::string_view kKey = "--https-key";
  const auto certificate = ReadPem(kCertificate, files.certificate);
  if (!certificate.ok()) return certificate.status();
  const auto key = ReadPem(kKey, files.key);
  if (!key.ok()) return key.status();

  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, kCiphers);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Browsers resume by tickets, which the server need not keep.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  // Streams are silent for most of the time.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  // OpenSSL would ask at the terminal.
  error_code error;
  context->set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return ""; }, error);

  context->use_certificate_chain(
      boost::asio::buffer(certificate->data(), certificate->size()), error);
  if (error) {
    return WrongFile(kCertificate, files.certificate,
                     "has no certificate that can be used, as PEM");
  }
  context->use_private_key(boost::asio::buffer(key->data(), key->size()),
                           ssl::context::pem, error);
  if (error) {
    return WrongFile(kKey, files.key,
                     "has no key of that certificate, as PEM, not encrypted");
  }
  return context;
}

absl::StatusOr<std::unique_ptr<Certificate>> Certificate::Load(
    CertificateFiles files, Notice notice) {
  std::unique_ptr<Certificate> made(
      new Certificate(std::move(files), std::move(notice)));
  // Before it is read: what changes meanwhile is read once more.
  made->read_ = made->seen_ = made->Look();
  auto context = MakeTlsContext(made->files_);
  if (!context.ok()) return context.status();
  {
    absl::MutexLock lock(&made->mu_);
    made->context_ = *std::move(context);
  }
  made->TellExpiry();
  return made;
}

void Certificate::Watch(const boost::asio::any_io_executor& executor) {
  timer_ = std::make_unique<boost::asio::steady_timer>(executor);
  LookAgain();
}

// By name, so that one behind a symbolic link is noticed as well that leads
// elsewhere, as the secrets of Kubernetes do.
Certificate::Stamp Certificate::StampOf(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return {};
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {
      .device = status.st_dev,
      .inode = status.st_ino,
      .size = status.st_size,
      .modified = status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec,
      .changed = status.st_ctim.tv_sec * kNanoseconds + status.st_ctim.tv_nsec};
}

Certificate::Stamps Certificate::Look() const {
  return {StampOf(files_.certificate), StampOf(files_.key)};
}

void Certificate::LookAgain() {
  timer_->expires_after(kInterval);
  timer_->async_wait([this](const error_code& error) {
    if (error) return;
    Stamps now = Look();
    // Certificate and key are seldom replaced in one step: they have to have
    // stayed as they are for a while.
    const bool has_changed = now != read_;
    if (now == seen_ && (has_changed || !wrong_.empty())) {
      read_ = now;
      Reload(has_changed);
    }
    seen_ = std::move(now);
    TellExpiry();
    LookAgain();
  });
}

void Certificate::Reload(bool has_changed) {
  auto context = MakeTlsContext(files_);
  if (!context.ok()) {
    const std::string before =
        std::exchange(wrong_, std::string(MessageOf(context.status())));
    if (!has_changed && wrong_ == before) return;
    notice_(fmt::format("{}; the certificate that was there before is used",
                        wrong_));
    return;
  }
  {
    absl::MutexLock lock(&mu_);
    context_ = *std::move(context);
  }
  wrong_.clear();
  told_.clear();
  notice_(fmt::format("read {} and {} again", files_.certificate, files_.key));
}

void Certificate::TellExpiry() {
  std::string expiry = ExpiryOf(*context());
  if (expiry == told_) return;
  told_ = std::move(expiry);
  if (told_.empty()) return;
  notice_(fmt::format("{}: {}", files_.certificate, told_));
}

}  // namespace messenger::app
