//! What is known of nginx's directives that are not taken. Decides which of them clients notice; called by [`super`]; never reads a value but
//! `off`.

use super::tree::Directive;
use crate::cli::import::setup::Setup;

/// What becomes of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Taken elsewhere, done without being asked for, or without meaning here.
    Done,
    /// It has no counterpart, and no client notices.
    Unseen(&'static str),
    /// It has no counterpart, and clients notice.
    Seen(&'static str),
}

use Fate::{Done, Seen, Unseen};

/// Remarks on all directives that have no counterpart, whichever block they stand in.
pub(super) fn remark(directives: &[Directive], setup: &mut Setup) {
    for directive in directives {
        let is_off = matches!(directive.args.as_slice(), [word] if word == "off" || word == "default");
        // The fields of an upgrade go on by themselves.
        let is_upgrade = directive.name == "map" && directive.arg(0) == "$http_upgrade";
        match fate(&directive.name) {
            Done => {}
            _ if is_off || is_upgrade => {}
            Unseen(why) => setup.unseen(&directive.place, format!("{}: {why}", directive.shown())),
            Seen(why) => setup.seen(&directive.place, format!("{}: {why}", directive.shown())),
        }
        // What stands in these is nothing of a server, or was told as a whole.
        if !["events", "types", "map", "geo", "split_clients", "stream", "mail", "if", "upstream", "limit_except"]
            .contains(&directive.name.as_str())
        {
            remark(directive.children(), setup);
        }
    }
}

fn fate(name: &str) -> Fate {
    let listed = FATES.iter().find(|(_, names)| names.split(' ').any(|known| known == name)).map(|(fate, _)| *fate);
    let alike = || PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, fate)| *fate);
    listed.or_else(alike).unwrap_or(Seen("nothing is known of it here"))
}

/// Names apart by a space.
const FATES: &[(Fate, &str)] = &[
    (
        Done,
        "events http server location upstream if listen server_name proxy_pass grpc_pass proxy_set_header \
         grpc_set_header proxy_read_timeout proxy_connect_timeout grpc_read_timeout grpc_connect_timeout \
         proxy_next_upstream proxy_next_upstream_tries client_max_body_size client_body_timeout client_header_timeout \
         send_timeout keepalive_timeout large_client_header_buffers underscores_in_headers worker_processes return \
         rewrite try_files root alias add_header ssl_certificate ssl_certificate_key ssl_client_certificate \
         ssl_verify_client ssl_protocols ssl http2 set set_real_ip_from real_ip_header access_log resolver fastcgi_pass \
         uwsgi_pass scgi_pass memcached_pass health_check proxy_http_version proxy_socket_keepalive real_ip_recursive \
         proxy_buffering proxy_request_buffering tcp_nodelay tcp_nopush sendfile keepalive_requests keepalive_disable \
         chunked_transfer_encoding http2_max_concurrent_streams ignore_invalid_headers merge_slashes \
         reset_timedout_connection lingering_close proxy_cache_bypass proxy_no_cache absolute_redirect port_in_redirect \
         server_name_in_redirect resolver_timeout proxy_ignore_client_abort client_body_in_file_only \
         client_body_in_single_buffer variables_hash_max_size variables_hash_bucket_size internal pid daemon \
         master_process use multi_accept accept_mutex worker_cpu_affinity worker_priority load_module types \
         types_hash_max_size types_hash_bucket_size server_names_hash_bucket_size server_names_hash_max_size \
         server_tokens default_type log_not_found log_subrequest sendfile_max_chunk output_buffers \
         postpone_output aio aio_write directio thread_pool pcre_jit timer_resolution zone map_hash_bucket_size \
         map_hash_max_size open_file_cache open_file_cache_valid open_file_cache_min_uses open_file_cache_errors \
         max_ranges etag if_modified_since ssl_session_cache ssl_session_timeout ssl_session_tickets \
         ssl_prefer_server_ciphers ssl_dhparam ssl_ecdh_curve ssl_buffer_size ssl_early_data ssl_engine \
         http2_recv_buffer_size worker_aio_requests worker_shutdown_timeout index lua_shared_dict \
         lua_package_path js_import js_path",
    ),
    (Unseen("to leave root's account, start as root with `user = \"…\"` at the top of the file"), "user"),
    (
        Unseen("`connections_max` follows from the descriptor limit; `balancer doctor` says whether that is enough"),
        "worker_connections worker_rlimit_nofile",
    ),
    (Unseen("messages go to stderr; the access log has the reason of each failure"), "error_log"),
    (Unseen("lines have the form `combined` with times and reasons, or JSON: [access_log] format"), "log_format"),
    (Unseen("workers have the environment that balancer is started with"), "env"),
    (Unseen("`idle_timeout` of the pool bounds it"), "proxy_send_timeout grpc_send_timeout"),
    (Unseen("`attempts_max` and `retry_budget` bound it"), "proxy_next_upstream_timeout grpc_next_upstream_timeout"),
    (
        Unseen("bodies stream; `buffer_request` and `buffer_response` of a pool hold them for slow clients"),
        "proxy_buffers proxy_buffer_size proxy_busy_buffers_size proxy_max_temp_file_size proxy_temp_file_write_size \
         client_body_buffer_size client_header_buffer_size grpc_buffer_size proxy_temp_path client_body_temp_path \
         proxy_headers_hash_max_size proxy_headers_hash_bucket_size",
    ),
    (
        Unseen("the library of TLS has good ciphers alone: ECDHE with AES-GCM or ChaCha20"),
        "ssl_ciphers ssl_conf_command",
    ),
    (
        Unseen("certificates are shown without an answer of OCSP"),
        "ssl_stapling ssl_stapling_verify ssl_trusted_certificate",
    ),
    (
        Unseen("it counts where it is used, and that is told there"),
        "map geo split_clients limit_req_zone limit_conn_zone limit_zone proxy_cache_path geoip_country geoip2 perl_set \
         js_set uninitialized_variable_warn",
    ),
    (
        Unseen("the status of an instance is that of `balancer status` and of `[admin] address`"),
        "stub_status status_zone api",
    ),
    (
        Seen("redirects go out as the app writes them: it has the client's Host, and X-Forwarded-Proto"),
        "proxy_redirect",
    ),
    (Seen("TCP and mail are not passed on: HTTP alone is"), "stream mail"),
    (
        Seen("responses go out as the app writes them: let the app compress, or what stands in front"),
        "gzip brotli zstd gunzip",
    ),
    (
        Seen("responses have the fields that the app gives them: let the app set it"),
        "expires more_set_headers add_trailer more_clear_headers charset",
    ),
    (
        Seen("responses have the fields that the app gives them, this one too: let the app leave it out"),
        "proxy_hide_header grpc_hide_header",
    ),
    (Seen("cookies go out as the app sets them"), "proxy_cookie_path proxy_cookie_domain proxy_cookie_flags"),
    (Seen("nothing is cached: every request reaches the pool"), "proxy_cache fastcgi_cache uwsgi_cache slice"),
    (
        Seen("pages of errors are those of the app, or short texts of balancer"),
        "error_page proxy_intercept_errors recursive_error_pages",
    ),
    (
        Seen("nobody is asked for a password here: WITHOUT IT EVERYBODY GETS IN; let the app ask"),
        "auth_basic auth_request auth_jwt satisfy",
    ),
    (
        Seen("addresses are not told apart here: WITHOUT IT EVERYBODY GETS IN; use a firewall, or let the app look"),
        "allow deny limit_except valid_referers secure_link secure_link_md5",
    ),
    (
        Seen("there are no limits of rate here: `slots` and `queue_max` bound what reaches a worker"),
        "limit_req limit_conn limit_rate limit_rate_after limit_req_status limit_conn_status",
    ),
    (
        Seen("responses go out as the app writes them"),
        "sub_filter sub_filter_once sub_filter_types ssi addition_types image_filter xslt_stylesheet add_before_body \
         add_after_body",
    ),
    (
        Seen("no files are served here: let the app do it, or keep a web server for them"),
        "autoindex random_index dav_methods mp4 flv",
    ),
    (Seen("the request is not copied"), "mirror"),
    (
        Seen("the method and body go on as the client sent them"),
        "proxy_method proxy_set_body proxy_pass_request_headers proxy_pass_request_body",
    ),
    (Seen("endpoints see the address of this machine that the kernel chooses"), "proxy_bind"),
    (Seen("keys must not be encrypted: `openssl pkey -in OLD -out NEW` takes the password off"), "ssl_password_file"),
    (Seen("clients speak HTTP/1.1 and HTTP/2 here, no HTTP/3"), "http3 quic_retry"),
    (Seen("a client that names a host without a certificate is shown the first certificate"), "ssl_reject_handshake"),
    (Seen("requests go on as they come"), "break"),
];

/// Whole modules.
const PREFIXES: &[(&str, Fate)] = &[
    ("gzip_", Done),
    ("auth_basic_", Done),
    ("brotli_", Done),
    ("zstd_", Done),
    ("autoindex_", Done),
    ("proxy_cache_", Done),
    ("fastcgi_", Done),
    ("uwsgi_", Done),
    ("scgi_", Done),
    ("proxy_ssl_", Done),
    ("grpc_ssl_", Done),
    ("limit_req_", Done),
    ("limit_conn_", Done),
    ("mirror_", Done),
    ("charset_", Done),
    ("dav_", Done),
    ("quic_", Done),
    ("http3_", Done),
    ("http2_", Done),
    ("ssl_stapling_", Done),
    ("grpc_next_upstream", Unseen("requests are sent again as `attempts_max` and `retry_budget` say")),
    ("opentelemetry", Unseen("each request has a `traceparent`, and goes on with it")),
    ("otel_", Unseen("each request has a `traceparent`, and goes on with it")),
    ("vhost_traffic_status", Unseen("`[admin] address` has metrics for Prometheus")),
];
