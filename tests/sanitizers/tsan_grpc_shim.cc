// Lets ThreadSanitizer understand programs that use the system's gRPC.
//
// Debian's libgrpc and libabsl are not instrumented. With
// ignore_noninstrumented_modules=1 ThreadSanitizer ignores what happens inside
// them, and with it the locks and atomics that order one callback after
// another: it would report races between callbacks that cannot overlap. This
// file is linked into each executable of a `thread` build. Its functions come
// before those of the shared libraries of the same name, tell ThreadSanitizer
// of the edge that the real one makes, and call the real one:
//
//   absl::Mutex, CondVar, Notification   unlock or notify before lock or wake
//   grpc_call_start_batch                start of an operation before its
//                                        completion (completion queues)
//   ServerCallbackCall                   every reaction of a reactor before
//                                        OnDone, and before OnCancel what made
//                                        it due
//   grpc_server_start                    the start of a server before each of
//                                        its calls (grpc_call_arena_alloc)
//   grpc_slice_new_with_user_data        what a slice keeps alive, before its
//   end grpc_call_unref, grpc_server_destroy the end of each call before that
//   of
//                                        its server
//
// Mutex::Await is not among them: its conditions are evaluated inside absl, by
// whichever thread unlocks. Wait for a CondVar instead.
//
// Each edge is one that gRPC guarantees, and a race in instrumented code is
// reported as ever. One thing is suppressed: what absl looks at through
// Notification's inline HasBeenNotifiedInternal, which is compiled into our
// code. The thread that notifies calls it once more before it lets go of the
// notification's lock; the destructor waits for that lock, and nothing of ours
// runs between the two that could show ThreadSanitizer the edge.
//
// It fits gRPC 1.51 and abseil 20220623 and stops the program if a function is
// not found.

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/time.h>
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpcpp/support/server_callback.h>

#include <cstdio>
#include <cstdlib>
#include <type_traits>

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);

// Read by ThreadSanitizer at start; TSAN_OPTIONS adds to it.
const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:second_deadlock_stack=1";
}

const char* __tsan_default_suppressions() {
  return "race:absl::*::Notification::HasBeenNotifiedInternal\n";
}
}

namespace {

// The definition of `symbol` behind the one in this file, of the same type.
template <typename Function>
Function* Next(Function* /*this_one*/, const char* symbol) {
  void* found = dlsym(RTLD_NEXT, symbol);
  if (found == nullptr) {
    std::fprintf(stderr, "tsan_grpc_shim: no %s in the shared libraries\n",
                 symbol);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

// The same for a member function, as a function whose first parameter is the
// object, which is how the Itanium C++ ABI calls it.
template <typename Function>
Function* NextMember(const char* symbol) {
  return Next(static_cast<Function*>(nullptr), symbol);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static auto* const next =
      NextMember<void(Mutex*)>("_ZN4absl7debian35Mutex4LockEv");
  next(this);
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static auto* const next =
      NextMember<void(Mutex*)>("_ZN4absl7debian35Mutex6UnlockEv");
  __tsan_release(this);
  next(this);
}

bool Mutex::TryLock() {
  static auto* const next =
      NextMember<bool(Mutex*)>("_ZN4absl7debian35Mutex7TryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  static auto* const next =
      NextMember<void(Mutex*)>("_ZN4absl7debian35Mutex10ReaderLockEv");
  next(this);
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  static auto* const next =
      NextMember<void(Mutex*)>("_ZN4absl7debian35Mutex12ReaderUnlockEv");
  __tsan_release(this);
  next(this);
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const next = NextMember<void(CondVar*, Mutex*)>(
      "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
  __tsan_release(mutex);
  next(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const next = NextMember<bool(CondVar*, Mutex*, Duration)>(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mutex);
  const bool timed_out = next(this, mutex, timeout);
  __tsan_acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const next = NextMember<bool(CondVar*, Mutex*, Time)>(
      "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  __tsan_release(mutex);
  const bool timed_out = next(this, mutex, deadline);
  __tsan_acquire(mutex);
  return timed_out;
}

void Notification::Notify() {
  static auto* const next = NextMember<void(Notification*)>(
      "_ZN4absl7debian312Notification6NotifyEv");
  __tsan_release(this);
  next(this);
}

void Notification::WaitForNotification() const {
  static auto* const next = NextMember<void(const Notification*)>(
      "_ZNK4absl7debian312Notification19WaitForNotificationEv");
  next(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const next = NextMember<bool(const Notification*, Duration)>(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_"
      "8DurationE");
  const bool notified = next(this, timeout);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static auto* const next = NextMember<bool(const Notification*, Time)>(
      "_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_"
      "4TimeE");
  const bool notified = next(this, deadline);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                      size_t count, void* tag, void* reserved) {
  static auto* const next =
      Next(&grpc_call_start_batch, "grpc_call_start_batch");
  if (tag != nullptr) __tsan_release(tag);
  return next(call, ops, count, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue,
                                      gpr_timespec deadline, void* reserved) {
  static auto* const next =
      Next(&grpc_completion_queue_next, "grpc_completion_queue_next");
  const grpc_event event = next(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE && event.tag != nullptr) {
    __tsan_acquire(event.tag);
  }
  return event;
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static auto* const next =
      Next(&grpc_completion_queue_pluck, "grpc_completion_queue_pluck");
  const grpc_event event = next(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE && tag != nullptr) __tsan_acquire(tag);
  return event;
}

}  // extern "C"

// A slice of ours is made on one thread, and ended by whichever of gRPC's drops
// the last reference.
namespace {

struct SliceEnd {
  void (*destroy)(void*);
  void* user_data;
};

void EndSlice(void* pointer) {
  __tsan_acquire(pointer);
  auto* const end = static_cast<SliceEnd*>(pointer);
  end->destroy(end->user_data);
  delete end;
}

}  // namespace

extern "C" grpc_slice grpc_slice_new_with_user_data(void* bytes, size_t size,
                                                    void (*destroy)(void*),
                                                    void* user_data) {
  static auto* const next =
      Next(&grpc_slice_new_with_user_data, "grpc_slice_new_with_user_data");
  auto* const end = new SliceEnd{.destroy = destroy, .user_data = user_data};
  __tsan_release(end);
  return next(bytes, size, EndSlice, end);
}

// grpc::internal::ServerCallbackCall counts what has to happen before OnDone
// and OnCancel in two atomic integers. Where its inline functions count down in
// our own, instrumented, code, ThreadSanitizer sees it; where the library does,
// it does not. So the library's two functions that follow a count of zero
// acquire what our code released there.
namespace {

using grpc::internal::ServerCallbackCall;
using grpc::internal::ServerReactor;

static_assert(sizeof(ServerCallbackCall) == 16,
              "a vtable pointer and the two counts");

void AcquireCounts(ServerCallbackCall* call) {
  auto* const base = reinterpret_cast<char*>(call);
  __tsan_acquire(base + 8);
  __tsan_acquire(base + 12);
}

void ReleaseCounts(ServerCallbackCall* call) {
  __tsan_release(reinterpret_cast<char*>(call) + 12);
}

// The library runs OnCancel, then counts down out of ThreadSanitizer's sight.
// Stands in for the reactor, once, to show it that edge.
class CancelObserver : public ServerReactor {
 public:
  CancelObserver(ServerCallbackCall* call, ServerReactor* reactor)
      : call_(call), reactor_(reactor) {}

  void OnCancel() override {
    AcquireCounts(call_);
    reactor_->OnCancel();
    ReleaseCounts(call_);
    delete this;
  }
  void OnDone() override { std::abort(); }  // goes to the reactor itself
  bool InternalInlineable() override { return reactor_->InternalInlineable(); }

 private:
  ServerCallbackCall* const call_;
  ServerReactor* const reactor_;
};

}  // namespace

// Both are private members: these two names stand for them.
void ShimScheduleOnDone(ServerCallbackCall* call, bool inline_ondone) asm(
    "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
void ShimScheduleOnDone(ServerCallbackCall* call, bool inline_ondone) {
  static auto* const next =
      Next(&ShimScheduleOnDone,
           "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
  AcquireCounts(call);
  next(call, inline_ondone);
}

void ShimCallOnCancel(ServerCallbackCall* call, ServerReactor* reactor) asm(
    "_ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_"
    "13ServerReactorE");
void ShimCallOnCancel(ServerCallbackCall* call, ServerReactor* reactor) {
  static auto* const next =
      Next(&ShimCallOnCancel,
           "_ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_"
           "13ServerReactorE");
  AcquireCounts(call);
  ReleaseCounts(call);
  next(call, new CancelObserver(call, reactor));
}

// A server is started before the first of its calls, which is when its handler
// allocates the reactor, and destroyed after the last one, OnDone included.
namespace {
char started_servers;
char ended_calls;
}  // namespace

extern "C" {

void grpc_server_start(grpc_server* server) {
  static auto* const next = Next(&grpc_server_start, "grpc_server_start");
  __tsan_release(&started_servers);
  next(server);
}

void* grpc_call_arena_alloc(grpc_call* call, size_t size) {
  static auto* const next =
      Next(&grpc_call_arena_alloc, "grpc_call_arena_alloc");
  __tsan_acquire(&started_servers);
  return next(call, size);
}

void grpc_call_unref(grpc_call* call) {
  static auto* const next = Next(&grpc_call_unref, "grpc_call_unref");
  __tsan_release(&ended_calls);
  next(call);
}

void grpc_server_destroy(grpc_server* server) {
  static auto* const next = Next(&grpc_server_destroy, "grpc_server_destroy");
  next(server);
  __tsan_acquire(&ended_calls);
}

}  // extern "C"
