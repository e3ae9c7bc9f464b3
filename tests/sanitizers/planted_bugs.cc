// A gRPC server with a reactor that has, if asked, a bug: shows that the
// sanitizers of this build, and the shim, find what they are there for.
//   planted_bugs none            works, and nothing is reported
//   planted_bugs race            a reaction and a thread share a field unlocked
//   planted_bugs use-after-free  OnDone touches the reactor it has deleted
//   planted_bugs leak            a reactor is forgotten
// Exit codes: 0 worked, 2 wrong usage, 3 the call failed; a sanitizer that
// reports something has its own.

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace {

enum class Bug { kNone, kRace, kUseAfterFree, kLeak };

struct Shared {
  Bug bug = Bug::kNone;
  absl::Mutex mu;
  int requests = 0;
  // Says that `requests` was written, but orders nothing.
  std::atomic<bool> written = false;
  absl::Notification done;
};

class Reactor : public grpc::ServerGenericBidiReactor {
 public:
  explicit Reactor(Shared& shared) : shared_(shared) { StartRead(&request_); }

  void OnReadDone(bool /*ok*/) override {
    if (shared_.bug == Bug::kRace) {
      ++shared_.requests;
    } else {
      const absl::MutexLock lock(&shared_.mu);
      ++shared_.requests;
    }
    shared_.written.store(true, std::memory_order_relaxed);
    StartWriteAndFinish(&request_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void OnDone() override {
    Shared& shared = shared_;
    grpc::ByteBuffer& request = request_;
    if (shared.bug != Bug::kLeak) delete this;
    if (shared.bug == Bug::kUseAfterFree) {
      request.Clear();  // NOLINT(clang-analyzer-cplusplus.NewDelete)
    }
    shared.done.Notify();
  }

 private:
  Shared& shared_;
  grpc::ByteBuffer request_;
};

class Service : public grpc::CallbackGenericService {
 public:
  explicit Service(Shared& shared) : shared_(shared) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Reactor(shared_);
  }

 private:
  Shared& shared_;
};

int ReadRequests(Shared& shared) {
  if (shared.bug == Bug::kRace) return shared.requests;
  const absl::MutexLock lock(&shared.mu);
  return shared.requests;
}

bool Call(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(30));
  grpc::CompletionQueue queue;
  const grpc::Slice slice("hello");
  const grpc::ByteBuffer request(&slice, 1);
  auto call = stub.PrepareUnaryCall(&context, "/planted/Bug", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, &call);
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok && status.ok();
}

int Run(Bug bug) {
  Shared shared{.bug = bug};
  Service service(shared);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  std::atomic<bool> stop = false;
  std::thread watcher([&] {
    while (!shared.written.load(std::memory_order_relaxed)) {
      if (stop.load(std::memory_order_relaxed)) return;
      std::this_thread::yield();
    }
    std::printf("%d request\n", ReadRequests(shared));
  });
  const bool answered = Call("127.0.0.1:" + std::to_string(port));
  if (answered) shared.done.WaitForNotification();
  stop.store(true, std::memory_order_relaxed);
  watcher.join();
  server->Shutdown();
  return answered ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view bug = argc == 2 ? argv[1] : "";
  if (bug == "none") return Run(Bug::kNone);
  if (bug == "race") {
    // ThreadSanitizer sees it most times, not always.
    constexpr int kTimes = 20;
    int exit_code = 0;
    for (int i = 0; i < kTimes && exit_code == 0; ++i) {
      exit_code = Run(Bug::kRace);
    }
    return exit_code;
  }
  if (bug == "use-after-free") return Run(Bug::kUseAfterFree);
  if (bug == "leak") return Run(Bug::kLeak);
  std::fputs("usage: planted_bugs none|race|use-after-free|leak\n", stderr);
  return 2;
}
