package hello;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/**
 * A sample app in plain Java: it listens where it is told, says how much memory it may use, and finishes what it is
 * answering when it is told to end.
 */
public final class Hello {
    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", x -> answer(x, "hello from Java " + Runtime.version().feature() + "\n"));
        server.createContext("/heap", x -> answer(x, (Runtime.getRuntime().maxMemory() >> 20) + " MiB\n"));
        server.createContext("/slow", x -> {
            try {
                Thread.sleep(1000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            answer(x, "slow but complete\n");
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(20)));
        server.start();
        System.out.println("hello: listening on " + port);
    }

    private static void answer(HttpExchange x, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        x.sendResponseHeaders(200, body.length);
        try (var out = x.getResponseBody()) {
            out.write(body);
        }
    }
}
