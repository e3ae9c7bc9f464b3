#include "peers/peer_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "messenger/security_tools.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr std::chrono::seconds kStartPatience(15);

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// That was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  const bool ok = bind(fd, any, size) == 0 && getsockname(fd, any, &size) == 0;
  close(fd);
  if (!ok) throw std::system_error(errno, std::generic_category(), "bind");
  return ntohs(address.sin_port);
}

bool Accepts(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(port);
  const bool ok =
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return ok;
}

// Where a server has what it is protected with. Empty: it is not.
struct Secrets {
  std::string certificate;
  std::string key;
  std::string tokens;
  std::string rights;
};

// Makes what the protection takes, and tells the endpoint what clients need.
Secrets MakeSecrets(const Protection& protection, const std::string& directory,
                    Endpoint* endpoint) {
  Secrets secrets;
  if (protection.tls) {
    const TlsFiles files = Value(
        InitTls({.directory = directory + "/tls", .names = {"127.0.0.1"}}),
        "certificates");
    secrets.certificate = files.server_certificate;
    secrets.key = files.server_key;
    endpoint->ca_file = files.ca_certificate;
  }
  if (protection.rights) {
    secrets.tokens = directory + "/tokens";
    secrets.rights = directory + "/rights";
    endpoint->token =
        Value(AddToken(secrets.tokens, "bench", std::nullopt), "token").token;
    std::ofstream(secrets.rights) << "ops    admin      *\n"
                                  << "ann    send,read  general\n"
                                  << "*      read       news.*\n"
                                  << "build  send       builds.*\n"
                                  << "bench  send,read  bench\n";
  }
  return secrets;
}

std::vector<std::string> Messenger(int port, const std::string& log,
                                   const char* durability,
                                   const Secrets& secrets) {
  std::vector<std::string> command = {
      MESSENGER_SERVER_PROGRAM, fmt::format("--listen=127.0.0.1:{}", port),
      "--log=" + log, fmt::format("--durability={}", durability)};
  if (!secrets.certificate.empty()) {
    command.push_back("--tls-cert=" + secrets.certificate);
    command.push_back("--tls-key=" + secrets.key);
  }
  if (!secrets.tokens.empty()) {
    command.push_back("--tokens=" + secrets.tokens);
    command.push_back("--rights=" + secrets.rights);
  }
  return command;
}

std::vector<std::string> Bare(int port, const Secrets& secrets) {
  std::vector<std::string> command = {
      "/proc/self/exe", "bare", fmt::format("--listen=127.0.0.1:{}", port)};
  if (!secrets.certificate.empty()) {
    command.push_back("--tls-cert=" + secrets.certificate);
    command.push_back("--tls-key=" + secrets.key);
  }
  return command;
}

std::vector<std::string> Nats(int port, const std::string& directory,
                              const Secrets& secrets) {
  const std::string file = directory + "/nats.conf";
  std::ofstream config(file);
  config << "max_payload: 8MB\n"  // for texts of 1 MB
         << "jetstream { store_dir: \"" << directory << "\" }\n";
  if (!secrets.certificate.empty()) {
    config << "tls { cert_file: \"" << secrets.certificate << "\", key_file: \""
           << secrets.key << "\" }\n";
  }
  return {"nats-server",           "-a", "127.0.0.1", "-p",
          fmt::format("{}", port), "-c", file};
}

std::vector<std::string> Redis(int port, const std::string& directory,
                               const char* sync) {
  return {"redis-server",
          "--bind",
          "127.0.0.1",
          "--port",
          fmt::format("{}", port),
          "--dir",
          directory,
          "--save",
          "",
          "--appendonly",
          "yes",
          "--appendfsync",
          sync};
}

std::vector<std::string> Gateway(int port, const std::string& behind) {
  return {MESSENGER_GATEWAY_PROGRAM, fmt::format("--listen=127.0.0.1:{}", port),
          "--server=" + behind, "--max-connections=20000",
          "--write-timeout=2s"};
}

std::vector<std::string> CommandOf(ServerKind kind, int port,
                                   const std::string& directory,
                                   const Secrets& secrets,
                                   const std::string& behind) {
  switch (kind) {
    case ServerKind::kNone:
      break;
    case ServerKind::kMessengerMemory:
      return Messenger(port, "memory:", "fsync", secrets);
    case ServerKind::kMessengerOs:
      return Messenger(port, "file:" + directory + "/log", "os", secrets);
    case ServerKind::kMessengerFsync:
      return Messenger(port, "file:" + directory + "/log", "fsync", secrets);
    case ServerKind::kMessengerSmall: {
      auto command = Messenger(port, "memory:", "fsync", secrets);
      command.emplace_back("--retention-bytes=64Mi");
      return command;
    }
    case ServerKind::kNats:
      return Nats(port, directory, secrets);
    case ServerKind::kRedisNoSync:
      return Redis(port, directory, "no");
    case ServerKind::kRedisEverySec:
      return Redis(port, directory, "everysec");
    case ServerKind::kRedisAlways:
      return Redis(port, directory, "always");
    case ServerKind::kBare:
      return Bare(port, secrets);
    case ServerKind::kBareSynced: {
      auto command = Bare(port, secrets);
      command.push_back("--sync=" + directory + "/synced");
      return command;
    }
    case ServerKind::kGateway:
      return Gateway(port, behind);
  }
  return {};
}

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void Exec(int output, char* const* argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0) {
    execvp(argv[0], argv);
  }
  _exit(127);
}

pid_t Spawn(std::vector<std::string> command, const std::string& log) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int output =
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const pid_t pid = fork();
  if (pid == 0) Exec(output, argv.data());
  close(output);
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  return pid;
}

std::string Describe(ServerKind kind) {
  switch (kind) {
    case ServerKind::kNone:
      return "no server";
    case ServerKind::kMessengerMemory:
      return "messenger-server --log memory:";
    case ServerKind::kMessengerOs:
      return "messenger-server --log file:… --durability os";
    case ServerKind::kMessengerFsync:
      return "messenger-server --log file:… (fsync before each receipt)";
    case ServerKind::kMessengerSmall:
      return "messenger-server --log memory: --retention-bytes 64Mi";
    case ServerKind::kNats:
      return "nats-server, max_payload 8MB, JetStream with its default "
             "sync_interval of 2 minutes (this version has no \"always\")";
    case ServerKind::kRedisNoSync:
      return "redis-server, appendonly yes, appendfsync no, no snapshots";
    case ServerKind::kRedisEverySec:
      return "redis-server, appendonly yes, appendfsync everysec, no snapshots";
    case ServerKind::kRedisAlways:
      return "redis-server, appendonly yes, appendfsync always, no snapshots";
    case ServerKind::kBare:
      return "gRPC callback server that only answers";
    case ServerKind::kBareSynced:
      return "gRPC callback server that writes and syncs a file in each call";
    case ServerKind::kGateway:
      return "messenger-gateway --write-timeout 2s";
  }
  return "";
}

}  // namespace

std::string ToWords(const Protection& protection) {
  if (protection.tls) return protection.rights ? "TLS and rights" : "TLS";
  return protection.rights ? "rights" : "plain";
}

std::string Describe(ServerKind kind, const Protection& protection) {
  std::string words = Describe(kind);
  if (protection.tls) words += ", TLS";
  if (protection.rights) words += ", a token and five rights";
  return words;
}

PeerServer::PeerServer(ServerKind kind, const Protection& protection,
                       const std::string& parent_directory,
                       const std::string& behind)
    : directory_(parent_directory) {
  const int port = FreePort();
  const std::vector<std::string> command =
      CommandOf(kind, port, directory_.path(),
                MakeSecrets(protection, directory_.path(), &endpoint_), behind);
  if (command.empty()) return;
  const std::string log = directory_.path() + "/output";
  pid_ = Spawn(command, log);
  const Clock::time_point start = Clock::now();
  while (!Accepts(port)) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_ ||
        Clock::now() - start > kStartPatience) {
      throw std::runtime_error(
          fmt::format("{} did not start: {}", command[0], ReadFile(log)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  endpoint_.address = fmt::format("127.0.0.1:{}", port);
}

PeerServer::~PeerServer() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace messenger::bench
