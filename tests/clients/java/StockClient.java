// io.socket:socket.io-client through the steps of harness.mjs: StockClient URL TRANSPORT.

import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.json.JSONArray;
import org.json.JSONObject;

public class StockClient {
    static final int LIMIT = 60;

    static class Unexpected extends Exception {
        Unexpected(String message) {
            super(message);
        }
    }

    static void check(boolean condition, Object shown) throws Unexpected {
        if (!condition)
            throw new Unexpected("unexpected: " + (shown instanceof Object[] ? Arrays.deepToString((Object[]) shown) : shown));
    }

    static <T> T take(BlockingQueue<T> queue, String what) throws Exception {
        T taken = queue.poll(LIMIT, TimeUnit.SECONDS);
        if (taken == null)
            throw new Unexpected("no " + what);
        return taken;
    }

    /** A socket with a connection of its own, and what came on it. */
    class Person {
        final Socket socket;
        final BlockingQueue<Object[]> messages = new LinkedBlockingQueue<>();
        final BlockingQueue<Object[]> echoes = new LinkedBlockingQueue<>();
        final BlockingQueue<Object[]> errors = new LinkedBlockingQueue<>();
        final BlockingQueue<Object[]> connects = new LinkedBlockingQueue<>();
        final BlockingQueue<Object[]> disconnects = new LinkedBlockingQueue<>();

        Person(String namespace) {
            IO.Options options = new IO.Options();
            options.forceNew = true;
            if (!transport.equals("default"))
                options.transports = new String[] {transport};
            socket = IO.socket(URI.create(url + namespace), options);
            socket.on("msg", messages::add);
            socket.on("echo", echoes::add);
            socket.on(Socket.EVENT_CONNECT_ERROR, errors::add);
            socket.on(Socket.EVENT_CONNECT, connects::add);
            socket.on(Socket.EVENT_DISCONNECT, disconnects::add);
            socket.connect();
        }

        JSONObject ask(int seconds, String event, Object... arguments) throws Exception {
            BlockingQueue<Object[]> answers = new LinkedBlockingQueue<>();
            socket.emit(event, arguments, (Ack) answers::add);
            Object[] answer = answers.poll(seconds, TimeUnit.SECONDS);
            if (answer == null)
                throw new Unexpected("no answer to " + event);
            return (JSONObject) answer[0];
        }

        void join(int seconds) throws Exception {
            JSONObject answer = ask(seconds, "join", room);
            check(answer.getBoolean("ok") && answer.getString("room").equals(room), answer);
        }
    }

    final String url;
    final String transport;
    final String room;
    final List<Person> people = new ArrayList<>();
    final byte[] bytes = new byte[256];

    StockClient(String url, String transport) {
        this.url = url;
        this.transport = transport;
        room = "room of java " + transport + " " + Math.random();
        for (int n = 0; n < bytes.length; n++)
            bytes[n] = (byte) n;
    }

    interface Step {
        boolean run() throws Exception; // false: left out
    }

    boolean connect() throws Exception {
        for (int n = 0; n < 2; n++) {
            Person person = new Person("");
            take(person.connects, "connect");
            people.add(person);
        }
        return true;
    }

    boolean join() throws Exception {
        for (Person person : people)
            person.join(LIMIT);
        return true;
    }

    boolean broadcast() throws Exception {
        people.get(0).socket.emit("msg", new JSONObject().put("room", room).put("body", "é😀"), "second");
        for (Person person : people) {
            Object[] arguments = take(person.messages, "msg");
            JSONObject meta = (JSONObject) arguments[2];
            check(((JSONObject) arguments[0]).getString("body").equals("é😀") && arguments[1].equals("second"), arguments);
            check(meta.getString("room").equals(room) && meta.getInt("seq") == 1, meta);
            check(meta.getString("from").equals("anon:" + people.get(0).socket.id()), meta);
        }
        return true;
    }

    boolean acknowledgement() throws Exception {
        JSONObject answer = people.get(1).ask(LIMIT, "msg", new JSONObject().put("room", room).put("body", "acknowledged"));
        check(answer.getBoolean("ok") && answer.getInt("seq") == 2 && answer.getString("id").length() > 0, answer);
        for (Person person : people)
            take(person.messages, "msg");
        answer = people.get(0).ask(LIMIT, "echo", 1, new JSONArray("[2]"), new JSONObject("{\"three\":null}"));
        check(answer.getBoolean("ok"), answer);
        Object[] arguments = take(people.get(0).echoes, "echo");
        check(arguments[0].equals(1) && arguments[1].toString().equals("[2]")
                  && arguments[2].toString().equals("{\"three\":null}"), arguments);
        return true;
    }

    boolean binary() throws Exception {
        people.get(0).socket.emit("echo", new JSONObject().put("deep", new JSONArray().put(bytes)), "between", new byte[0], bytes);
        Object[] arguments = take(people.get(0).echoes, "echo");
        check(Arrays.equals((byte[]) ((JSONObject) arguments[0]).getJSONArray("deep").get(0), bytes), arguments);
        check(arguments[1].equals("between") && ((byte[]) arguments[2]).length == 0, arguments);
        check(Arrays.equals((byte[]) arguments[3], bytes), arguments);
        JSONObject answer = people.get(0).ask(LIMIT, "msg", new JSONObject().put("room", room).put("data", bytes));
        check(answer.getBoolean("ok"), answer);
        Object[] heard = take(people.get(1).messages, "msg");
        check(Arrays.equals((byte[]) ((JSONObject) heard[0]).get("data"), bytes), heard);
        return true;
    }

    boolean custom() throws Exception {
        Person person = new Person("/custom");
        take(person.connects, "connect");
        person.socket.emit("echo", "there");
        check(take(person.echoes, "echo")[0].equals("there"), "echo");
        check(person.ask(LIMIT, "join", room).getInt("members") == 1, "rooms are apart");
        person.socket.disconnect();
        return true;
    }

    boolean unknown() throws Exception {
        Person person = new Person("/unknown");
        Object[] error = take(person.errors, "connect_error");
        check(((JSONObject) error[0]).getString("message").equals("Invalid namespace"), error);
        person.socket.disconnect();
        return true;
    }

    boolean reconnect() throws Exception {
        System.out.println("# kill");
        String line = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine();
        if (!"killed".equals(line))
            return false;
        for (Person person : people)
            take(person.disconnects, "disconnect");
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT);
        for (boolean back = false; !back;) {
            try {
                for (Person person : people)
                    person.join(5);
                back = people.get(0).socket.connected() && people.get(1).socket.connected();
            } catch (Unexpected error) {
                check(System.nanoTime() < end, error.getMessage());
            }
        }
        JSONObject answer = people.get(0).ask(LIMIT, "msg", new JSONObject().put("room", room).put("body", "back"));
        check(answer.getBoolean("ok"), answer);
        while (!((JSONObject) take(people.get(1).messages, "msg")[0]).optString("body").equals("back")) {
            // Replayed or earlier messages may come first.
        }
        return true;
    }

    public static void main(String[] arguments) throws Exception {
        System.setOut(new PrintStream(System.out, true, "UTF-8"));
        StockClient run = new StockClient(arguments[0], arguments[1]);
        String[] names = {"connect", "join", "broadcast", "acknowledgement", "binary", "custom namespace",
                          "unknown namespace", "reconnect"};
        Step[] steps = {run::connect, run::join, run::broadcast, run::acknowledgement, run::binary, run::custom,
                        run::unknown, run::reconnect};
        int number = 0;
        for (Step step : steps) {
            String name = names[number++];
            try {
                System.out.println("ok " + number + " - " + name + (step.run() ? "" : " # SKIP nothing can be killed here"));
            } catch (Exception error) {
                System.out.println("not ok " + number + " - " + name);
                System.out.println("# " + error);
                break;
            }
        }
        System.out.println("1.." + number);
        System.exit(0); // the client's threads stay otherwise
    }
}
