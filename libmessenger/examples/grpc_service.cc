// The message log as one more service of a gRPC server that a program already
// has.
#include <grpcpp/grpcpp.h>
#include <messenger/client.h>
#include <messenger/grpc.h>
#include <messenger/log.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

int main() {
  auto log = messenger::OpenLog("memory:");
  if (!log.ok()) {
    std::cerr << log.status() << '\n';
    return 1;
  }
  auto service = messenger::Service::Create(*std::move(log));
  if (!service.ok()) {
    std::cerr << service.status() << '\n';
    return 1;
  }

  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  // builder.RegisterService(&your_own_service);
  (*service)->Register(builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;

  auto client = messenger::Client::Connect(
      {.target = "127.0.0.1:" + std::to_string(port)});
  const auto receipt = client.Send({.text = "hello"});
  if (!receipt.ok()) {
    std::cerr << receipt.status() << '\n';
    return 1;
  }
  std::cout << "stored as " << receipt->position.sequence << '\n';

  (*service)->Drain();  // ends the readers
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  server.reset();  // before the service
  return 0;
}
